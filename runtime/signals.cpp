// A signal handler may do next to nothing, so it notes the signal and posts a semaphore; a thread
// of the process, started with the first registration, wakes and cancels the contexts. It stays,
// asleep, until the process ends. It takes the signals that are asked for, also when all threads of
// the program block them, and blocks all others, which are none of its business.
#include <sluice/runtime/signals.hpp>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice {

namespace {

class category final : public std::error_category {
public:
    const char* name() const noexcept override { return "signal"; }
    std::string message(int number) const override {
        const char* const abbreviation = ::sigabbrev_np(number);
        const char* const description = ::sigdescr_np(number);
        std::string text = abbreviation == nullptr ? "signal " + std::to_string(number)
                                                   : "SIG" + std::string(abbreviation);
        if (description != nullptr) text += " (" + std::string(description) + ")";
        return text;
    }
};

}  // namespace

const std::error_category& signal_category() noexcept {
    static const category instance;
    return instance;
}

class signal_stop_function::registration {
public:
    registration(const context& parent, std::initializer_list<int> signals);
    registration(const registration&) = delete;
    registration& operator=(const registration&) = delete;
    ~registration();

    const context& ctx() const noexcept { return cancellable_.first; }
    const std::vector<int>& signals() const noexcept { return signals_; }
    /// What has arrived by now is not for this one.
    void ignore_earlier() noexcept;
    /// Ends the context if one of its signals has arrived since.
    void look() const noexcept;

private:
    const std::vector<int> signals_;
    std::vector<unsigned> earlier_;  // how often each had arrived when this one was added
    std::pair<context, cancel_cause_function> cancellable_;
    std::uint32_t runtime_id_;
    bool simulated_;  // no signal comes
};

namespace {

using registration = signal_stop_function::registration;

constexpr int most_signals = 65;
detail::atomic<unsigned> arrived[most_signals];  // how often each has arrived, ever
sem_t arrival;

void handle(int signal) {
    const int saved = errno;
    arrived[signal].fetch_add(1, detail::release);
    ::sem_post(&arrival);
    errno = saved;
}

class hub {
public:
    hub() {
        ::sem_init(&arrival, 0, 0);
        std::thread([this] { watch(); }).detach();
    }

    void add(registration& r) {
        std::unique_lock lock(mutex_);
        const std::span signals(r.signals());
        for (std::size_t i = 0; i != signals.size(); ++i) {
            if (const int error = catch_signal(signals[i])) {
                let_go(signals.first(i), lock);
                throw std::system_error(error, std::generic_category(), "sluice: notify_context");
            }
        }
        r.ignore_earlier();
        all_.push_back(&r);
        ::sem_post(&arrival);  // the watch lets the signals through
    }

    void remove(registration& r) {
        std::unique_lock lock(mutex_);
        std::erase(all_, &r);
        let_go(r.signals(), lock);
    }

private:
    void let_go(std::span<const int> signals, std::unique_lock<std::mutex>& lock) {
        for (const int s : signals) --users_[s];
        // First the watch holds back again what a program may block everywhere else: the former
        // action could be to end the process.
        ::sem_post(&arrival);
        const auto held_back = [this](int s) { return users_[s] != 0 || !let_through_[s]; };
        if (::getpid() == process_) {  // a forked child has no watch
            mask_set_.wait(lock, [&] { return std::ranges::all_of(signals, held_back); });
        }
        for (const int s : signals) restore_signal(s);
    }

    int catch_signal(int s) {
        if (s <= 0 || s >= most_signals) return EINVAL;
        ++users_[s];
        if (caught_[s]) return 0;
        struct sigaction action{};
        action.sa_handler = &handle;
        action.sa_flags = SA_RESTART;
        ::sigfillset(&action.sa_mask);
        caught_[s] = ::sigaction(s, &action, &former_[s]) == 0;
        if (caught_[s]) return 0;
        --users_[s];
        return errno;
    }

    void restore_signal(int s) {
        if (users_[s] != 0 || !caught_[s]) return;
        ::sigaction(s, &former_[s], nullptr);
        caught_[s] = false;
    }

    // On the watch's thread: no signal but those that are asked for.
    void set_mask() {
        sigset_t others;
        ::sigfillset(&others);
        for (int s = 1; s != most_signals; ++s) {
            let_through_[s] = users_[s] != 0;
            if (let_through_[s]) ::sigdelset(&others, s);
        }
        ::pthread_sigmask(SIG_SETMASK, &others, nullptr);
        mask_set_.notify_all();
    }

    void watch() {
        ::pthread_setname_np(::pthread_self(), "sluice-signals");
        for (;;) {
            {
                const std::lock_guard guard(mutex_);
                for (const registration* const r : all_) r->look();
                set_mask();
            }
            while (::sem_wait(&arrival) != 0) {
            }
        }
    }

    const ::pid_t process_ = ::getpid();
    std::mutex mutex_;
    std::condition_variable mask_set_;
    // Under mutex_; the arrays by signals' numbers.
    std::vector<registration*> all_;
    int users_[most_signals] = {};
    bool caught_[most_signals] = {};       // the action is handle()
    bool let_through_[most_signals] = {};  // by the watch
    struct sigaction former_[most_signals] = {};
};

hub& the_hub() {
    static auto* const instance = new hub;  // never ended: a signal may come at any time
    return *instance;
}

}  // namespace

signal_stop_function::registration::registration(const context& parent,
                                                 std::initializer_list<int> signals)
    : signals_(signals),
      earlier_(signals_.size()),
      cancellable_(with_cancel_cause(parent)),
      runtime_id_(detail::require_worker("notify_context()").owner().id()),
      simulated_(detail::require_worker("notify_context()").owner().simulated()) {
    if (simulated_) return;
    the_hub().add(*this);
    detail::require_worker("notify_context()")
        .owner()
        .hold_outside();  // a signal may end any wait: no deadlock
}

signal_stop_function::registration::~registration() {
    if (simulated_) return;
    the_hub().remove(*this);
    detail::scheduler* const home = detail::scheduler::find_and_pin(runtime_id_);
    if (home == nullptr) return;
    home->release_outside();
    home->unpin();
}

void signal_stop_function::registration::ignore_earlier() noexcept {
    for (std::size_t i = 0; i != signals_.size(); ++i) {
        earlier_[i] = arrived[signals_[i]].load(detail::acquire);
    }
}

void signal_stop_function::registration::look() const noexcept {
    for (std::size_t i = 0; i != signals_.size(); ++i) {
        const int signal = signals_[i];
        if (arrived[signal].load(detail::acquire) == earlier_[i]) continue;
        cancellable_.second(std::error_code(signal, signal_category()));
        return;
    }
}

signal_stop_function::signal_stop_function(std::unique_ptr<registration> r) noexcept
    : registration_(std::move(r)) {}
signal_stop_function::signal_stop_function(signal_stop_function&&) noexcept = default;
signal_stop_function& signal_stop_function::operator=(signal_stop_function&&) noexcept = default;
signal_stop_function::~signal_stop_function() = default;

void signal_stop_function::operator()() noexcept {
    registration_.reset();
}

std::pair<context, signal_stop_function> notify_context(std::initializer_list<int> signals) {
    return notify_context(background(), signals);
}

std::pair<context, signal_stop_function> notify_context(const context& parent,
                                                        std::initializer_list<int> signals) {
    auto r = std::make_unique<registration>(parent, signals);
    context ctx = r->ctx();
    return {std::move(ctx), signal_stop_function(std::move(r))};
}

}  // namespace sluice
