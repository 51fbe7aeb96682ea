// Memory from operator new, so that a sanitizer sees each block's end.
#pragma once

#include <cstddef>
#include <new>

#include <sluice/runtime/detail/spin_lock.hpp>

namespace sluice::detail {

struct frame_pool {
    static void* allocate(std::size_t size) { return ::operator new(size); }
    static void deallocate(void* memory) noexcept { ::operator delete(memory); }
};

template <class T, class... Args>
T* make_pooled(Args&&... args) {
    return new T(static_cast<Args&&>(args)...);
}

template <class T>
void destroy_pooled(T* object) noexcept {
    object->~T();
    ::operator delete(object);
}

}  // namespace sluice::detail
