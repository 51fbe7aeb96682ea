// Reports on live tasks: who waits where, on what.
#include <cinttypes>
#include <cstdio>
#include <string_view>

#include <sluice/runtime/detail/multi_wait.hpp>
#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice {

namespace {

std::string describe_site(const detail::wait_site& site) {
    if (site.object == nullptr) return std::string(site.what) + " (never ready)";
    char address[32];
    std::snprintf(address, sizeof address, " 0x%" PRIxPTR,
                  reinterpret_cast<std::uintptr_t>(site.object));
    return site.what + std::string(address);
}

std::string describe_wait(std::uintptr_t link) {
    const std::uintptr_t pointer = link & ~std::uintptr_t{3};
    if ((link & 3) == 2)
        return describe_site(reinterpret_cast<const detail::leaf*>(pointer)->site());
    if ((link & 3) != 3) return "ready to run";
    const auto& wait = *reinterpret_cast<const detail::multi_wait*>(pointer);
    if (const detail::leaf* const l = wait.regaining()) return describe_site(l->site());
    if (!wait.is_parked()) return "ready to run";
    if (wait.count() == 0) return "a select without cases (never ready)";
    constexpr std::uint32_t most = 8;
    std::string text = "one of:";
    for (std::uint32_t i = 0; i != wait.count() && i != most; ++i) {
        text += (i == 0 ? " " : ", ") + describe_site(wait.at(i).site());
    }
    if (wait.count() > most) text += ", …";
    return text;
}

std::string place(const std::source_location& l) {
    return std::string(l.file_name()) + ":" + std::to_string(l.line());
}

// The frames that run(), spawn() and others put around the user's coroutine.
bool is_wrapper(const std::source_location& l) {
    return std::string_view(l.function_name()).find("sluice::detail::") != std::string_view::npos;
}

// Until its first co_await a coroutine stands at its own beginning.
bool has_started(const detail::promise_base& p) {
    return p.where.line() != p.origin.line() || p.where.column() != p.origin.column() ||
           p.where.file_name() != p.origin.file_name();
}

template <class T>
T* pointer(std::uintptr_t link) {
    return reinterpret_cast<T*>(link & ~std::uintptr_t{3});
}

}  // namespace

task_info detail::inspect_task(void* frame) {
    task_info info;
    const promise_base* promise = &promise_base::of(frame);
    info.frame = frame;
    info.started = promise->start_stamp();
    while ((promise->link & 3) == 1) {
        if (!is_wrapper(promise->where)) info.stack.push_back(promise->where);
        if (info.stack.size() <= 1) info.origin = promise->origin;
        promise = pointer<promise_base>(promise->link);
    }
    if (info.stack.empty()) info.origin = promise->origin;
    info.stack.push_back(promise->where);
    info.waits_for = has_started(*promise) ? describe_wait(promise->link) : "ready to start";
    return info;
}

void detail::abandon_wait(void* frame) noexcept {
    std::uintptr_t link = promise_base::of(frame).link;
    while ((link & 3) == 1) link = pointer<promise_base>(link)->link;
    if ((link & 3) == 2) pointer<leaf>(link)->abandon();
    if ((link & 3) == 3) pointer<multi_wait>(link)->abandon();
}

std::string task_info::describe() const {
    std::string text = std::string(origin.function_name()) +
                       (waits_for.starts_with("ready") ? " is " : " waits for ") + waits_for +
                       " at " + place(stack.back());
    for (std::size_t i = stack.size() - 1; i != 0; --i)
        text += ", called at " + place(stack[i - 1]);
    return text;
}

}  // namespace sluice
