// The channel a program of threads would have: a bounded queue under a mutex. It has no unbuffered
// form, so that capacity 1 stands in for it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>

template <class T>
class thread_channel {
public:
    explicit thread_channel(std::size_t capacity = 1) : capacity_(capacity) {}

    void send(T value) {
        std::unique_lock lock(mutex_);
        not_full_.wait(lock, [&] { return values_.size() < capacity_; });
        values_.push_back(value);
        lock.unlock();
        not_empty_.notify_one();
    }

    /// Empty when the channel is closed and drained.
    std::optional<T> recv() {
        std::unique_lock lock(mutex_);
        not_empty_.wait(lock, [&] { return !values_.empty() || closed_; });
        if (values_.empty()) return std::nullopt;
        const T value = values_.front();
        values_.pop_front();
        lock.unlock();
        not_full_.notify_one();
        return value;
    }

    void close() {
        std::unique_lock lock(mutex_);
        closed_ = true;
        lock.unlock();
        not_empty_.notify_all();
    }

private:
    std::size_t capacity_;
    std::mutex mutex_;
    std::condition_variable not_full_;
    std::condition_variable not_empty_;
    std::deque<T> values_;
    bool closed_ = false;
};
