#include <sluice/io/detail/simulated_tcp.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

#include <sluice/io/detail/descriptor.hpp>
#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice::io::detail {

using segment = simulated_segment;
using sluice::detail::now;

namespace {

constexpr std::int64_t nanoseconds(std::chrono::nanoseconds d) {
    return d.count();
}

// How Linux sends again what was lost: after such a time, then after twice that, and so on.
struct persistence {
    std::int64_t first_wait;
    int losses;  // in a row: then it gives up
};
constexpr persistence when_connecting{nanoseconds(std::chrono::seconds(1)), 7};
constexpr persistence when_connected{nanoseconds(std::chrono::milliseconds(200)), 16};
constexpr std::int64_t longest_wait = nanoseconds(std::chrono::minutes(2));

constexpr std::uint16_t first_free_port = 32768;
constexpr std::uint16_t last_free_port = 60999;

std::error_code error_of(int number) noexcept {
    return {number, std::generic_category()};
}

bool is_any(const endpoint& e) noexcept {
    if (e.family() != AF_INET) return e.is_any_v6();
    return reinterpret_cast<const sockaddr_in*>(e.data())->sin_addr.s_addr == htonl(INADDR_ANY);
}

// The address alone, whatever the port.
bool same_host(const endpoint& a, const endpoint& b) noexcept {
    if (a.family() != b.family()) return false;
    if (a.family() == AF_INET) {
        return reinterpret_cast<const sockaddr_in*>(a.data())->sin_addr.s_addr ==
               reinterpret_cast<const sockaddr_in*>(b.data())->sin_addr.s_addr;
    }
    return IN6_ARE_ADDR_EQUAL(&reinterpret_cast<const sockaddr_in6*>(a.data())->sin6_addr,
                              &reinterpret_cast<const sockaddr_in6*>(b.data())->sin6_addr);
}

// Whether who listens at `any`, if that means every address, listens at `e` too.
bool covers(const endpoint& any, const endpoint& e) noexcept {
    return is_any(any) && (any.family() == e.family() || any.family() == AF_INET6);
}

endpoint with_port(const endpoint& e, std::uint16_t port) noexcept {
    sockaddr_storage room{};
    std::memcpy(&room, e.data(), e.size());
    // sin_port and sin6_port stand at the same place.
    reinterpret_cast<sockaddr_in*>(&room)->sin_port = htons(port);
    return {reinterpret_cast<const sockaddr*>(&room), e.size()};
}

// Who connects to every address means this host.
endpoint at_home(const endpoint& e) noexcept {
    if (!is_any(e)) return e;
    if (e.family() == AF_INET) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(e.port());
        v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return {reinterpret_cast<const sockaddr*>(&v4), sizeof v4};
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(e.port());
    v6.sin6_addr = IN6ADDR_LOOPBACK_INIT;
    return {reinterpret_cast<const sockaddr*>(&v6), sizeof v6};
}

}  // namespace

result<endpoint> simulated_socket::remote_address() const {
    return fail(error_of(ENOTCONN));
}

// Streams: calls.

simulated_stream::simulated_stream(simulated_connection& c, simulated_stream& peer,
                                   simulated_tcp& net, const endpoint& local,
                                   const endpoint& remote) noexcept
    : simulated_socket(net, local),
      timer_node(&fired),
      connection_(c),
      peer_(peer),
      remote_(remote) {
    resume = &run_arrive;
}

int simulated_stream::connect() noexcept {
    if (!std::exchange(begun_, true)) answer(segment::syn);
    if (dead_) return -std::exchange(error_, 0);
    return connected_ ? 0 : -EAGAIN;
}

ssize_t simulated_stream::receive(std::span<std::byte> into) noexcept {
    if (into.empty()) return 0;
    if (const std::uint64_t there = arrived_ - taken_; there != 0) {
        const std::size_t n = net_.choices.maybe_part_of(std::min<std::size_t>(there, into.size()),
                                                         net_.options.partial);
        std::memcpy(into.data(), bytes_.data(), n);
        bytes_.pop(n);
        taken_ += n;
        taken_at_ = now();
        if (std::exchange(peer_.starved_, false)) {
            peer_.window_coming_ = true;
            answer(segment::window, taken_);
        }
        return static_cast<ssize_t>(n);
    }
    if (ended_) return 0;
    if (error_ != 0) return -std::exchange(error_, 0);
    return dead_ ? 0 : -EAGAIN;
}

bool simulated_stream::readable() const noexcept {
    return arrived_ != taken_ || ended_ || dead_;
}

std::uint64_t simulated_stream::room() const noexcept {
    return net_.options.buffer - (sent_ - acknowledged_);
}

ssize_t simulated_stream::send(std::span<const std::byte> bytes) noexcept {
    if (error_ != 0) return -std::exchange(error_, 0);
    if (fin_sent_ || dead_) return -EPIPE;
    if (bytes.empty()) return 0;
    if (peer_.open_ && !peer_.dead_ && now() - peer_.taken_at_ >= net_.options.max_delay.count())
        acknowledged_ = peer_.taken_;  // as if it had told so since
    if (room() == 0) {
        ask_for_room();
        return -EAGAIN;
    }
    const std::size_t n = net_.choices.maybe_part_of(std::min<std::size_t>(room(), bytes.size()),
                                                     net_.options.partial);
    peer_.bytes_.push(bytes.first(n));
    sent_ += n;
    answer(segment::data, sent_);
    return static_cast<ssize_t>(n);
}

void simulated_stream::ask_for_room() noexcept {
    if (window_coming_) return;
    if (peer_.open_ && !peer_.dead_ && peer_.taken_ == acknowledged_) {
        starved_ = true;
        return;
    }
    window_coming_ = true;
    if (peer_.open_ && !peer_.dead_) {
        peer_.answer(segment::window, peer_.taken_);
    } else {
        peer_.refuse(ECONNRESET);
    }
}

int simulated_stream::shutdown() noexcept {
    if (!alive()) return -ENOTCONN;
    if (std::exchange(fin_sent_, true)) return 0;
    answer(segment::fin);
    // A write that waits for room learns that there will be none, after what is under way to here.
    if (starved_ || window_coming_) net_.deliver(*this, {segment::window, acknowledged_}, now());
    return 0;
}

result<endpoint> simulated_stream::remote_address() const {
    if (!alive()) return fail(error_of(ENOTCONN));
    return remote_;
}

// As on Linux: bytes that nobody has read make the end of a connection a reset.
void simulated_stream::close() noexcept {
    watcher = nullptr;
    open_ = false;
    if (alive()) {
        if (taken_ != arrived_) {
            dead_ = true;
            answer(segment::reset, ECONNRESET);
        } else {
            shutdown();
        }
    }
    net_.reap(connection_);
}

// Streams: what arrives.

sluice::detail::runnable* simulated_stream::fired(timer_node& node,
                                                  sluice::detail::wake_list&) noexcept {
    return static_cast<simulated_stream*>(&node);
}

void simulated_stream::run_arrive(void* self) noexcept {
    static_cast<simulated_stream*>(static_cast<runnable*>(self))->arrive();
}

void simulated_stream::arrive() noexcept {
    arriving_ = true;
    while (!path_.empty() && path_.front().arrives <= now()) {
        const segment s = path_.front();
        path_.pop();
        take(s);
    }
    arriving_ = false;
    if (!path_.empty()) {
        net_.start_timer(*this);
    } else {
        net_.reap(connection_);
    }
}

void simulated_stream::take(const segment& s) noexcept {
    switch (s.what) {
        case segment::syn:
            return take_syn(s);
        case segment::syn_ack:
            if (!open_) return refuse(ECONNRESET);
            if (dead_) return;
            connected_ = true;
            answer(segment::ack);
            return tell(false, true, false);
        case segment::ack:
            return take_ack();
        case segment::data:
            if (!open_ || dead_) return refuse(ECONNRESET);
            arrived_ = s.value;
            return tell(true, false, false);
        case segment::fin:
            if (dead_) return;
            ended_ = true;
            return tell(true, false, false);
        case segment::window:
            acknowledged_ = std::max(acknowledged_, s.value);
            window_coming_ = false;
            return tell(false, true, false);
        case segment::reset:
            path_.clear();
            return die(static_cast<int>(s.value));
        case segment::cut:
            path_.clear();
            refuse(ECONNRESET);
            return die(ECONNRESET);
        case segment::lost:
            return take_lost();
    }
}

// What comes behind it is lost too, but for a reset.
void simulated_stream::take_lost() noexcept {
    const segment* const end = path_.data() + path_.size();
    const segment* const found =
        std::find_if(path_.data(), end, [](const segment& s) { return s.what == segment::reset; });
    const bool is_reset = found != end;
    const segment reset = is_reset ? *found : segment{segment::reset};
    path_.clear();
    if (is_reset) net_.deliver(*this, reset, reset.arrives);
    if (!connected_) die(ETIMEDOUT);
    peer_.die(ETIMEDOUT);
    if (window_coming_) peer_.refuse(ECONNRESET);
}

void simulated_stream::take_syn(const segment& s) noexcept {
    if (!peer_.open_) return;
    simulated_listener* const l = net_.listener_at(local_);
    if (l == nullptr) return refuse(ECONNREFUSED);
    if (l->on_their_way_ + static_cast<std::int64_t>(l->backlog_.size()) > l->most_) {
        const std::int64_t wait = when_connecting.first_wait << connects_;
        if (++connects_ == when_connecting.losses) {
            peer_.die(ETIMEDOUT);
        } else {
            net_.deliver(*this, s, now() + wait);
        }
        return;
    }
    listener_ = l;
    ++l->on_their_way_;
    open_ = true;
    answer(segment::syn_ack);
}

void simulated_stream::take_ack() noexcept {
    if (listener_ == nullptr) return;
    simulated_listener& l = *std::exchange(listener_, nullptr);
    --l.on_their_way_;
    connected_ = true;
    simulated_stream* const self = this;
    l.backlog_.push({&self, 1});
    if (l.watcher != nullptr) l.watcher->edge({true, false, false});
}

void simulated_stream::answer(segment::kind what, std::uint64_t value) noexcept {
    net_.carry(peer_, {what, value});
}

void simulated_stream::refuse(int error) noexcept {
    if (!peer_.dead_) answer(segment::reset, static_cast<std::uint64_t>(error));
}

void simulated_stream::die(int error) noexcept {
    if (std::exchange(dead_, true)) return;
    error_ = ended_ ? EPIPE : error;
    leave_listener();
    if (peer_.starved_) refuse(ECONNRESET);
    tell(true, true, true);
}

// A server whose client has gone before the backlog, or whose listener has.
void simulated_stream::leave_listener() noexcept {
    if (listener_ == nullptr) return;
    --std::exchange(listener_, nullptr)->on_their_way_;
    open_ = false;
}

// The listener of a server that nobody will accept has closed.
void simulated_stream::turn_away() noexcept {
    leave_listener();
    open_ = false;
    refuse(ECONNRESET);
    dead_ = true;
    net_.reap(connection_);
}

void simulated_stream::tell(bool read, bool write, bool hang_up) noexcept {
    if (watcher != nullptr) watcher->edge({read, write, hang_up});
}

// Listeners.

simulated_stream* simulated_listener::accept() noexcept {
    if (backlog_.empty()) return nullptr;
    simulated_stream* const s = backlog_.front();
    backlog_.pop();
    return s;
}

void simulated_listener::close() noexcept {
    watcher = nullptr;
    while (simulated_stream* const s = accept()) s->turn_away();
    net_.remove(*this);
}

// The network.

simulated_tcp* simulated_tcp::here() {
    sluice::detail::worker* const w = sluice::detail::current_worker();
    if (w == nullptr || !w->owner().simulated()) return nullptr;
    auto& driver = static_cast<sluice::detail::simulated_driver&>(w->io());
    if (driver.net == nullptr) driver.net = std::make_unique<simulated_tcp>(*w, driver);
    return static_cast<simulated_tcp*>(driver.net.get());
}

simulated_tcp::~simulated_tcp() {
    ending_ = true;
    for (simulated_connection& c : connections_) {
        for (simulated_stream* const s : {&c.client, &c.server}) {
            if (s->watcher != nullptr) s->watcher->close();
            if (!s->path_.empty()) worker_.timers().cancel(*s);
        }
    }
    for (simulated_listener& l : listeners_) {
        if (l.watcher != nullptr) l.watcher->close();
    }
}

result<simulated_listener*> simulated_tcp::listen(const endpoint& at, int backlog,
                                                  bool reuse_port) {
    const endpoint here = at.port() == 0 ? with_port(at, free_port()) : at;
    for (const simulated_listener& l : listeners_) {
        const endpoint& there = l.local_;
        const bool overlap = same_host(there, here) || covers(there, here) || covers(here, there);
        if (there.port() == here.port() && overlap && !(l.shared_ && reuse_port))
            return fail(error_of(EADDRINUSE));
    }
    // Linux takes it without its sign.
    const int most = backlog < 0 ? std::numeric_limits<int>::max() : backlog;
    return &listeners_.emplace_back(*this, here, most, reuse_port);
}

simulated_stream& simulated_tcp::stream(const endpoint& to) {
    const endpoint there = at_home(to);
    simulated_connection& c =
        connections_.emplace_back(*this, with_port(there, free_port()), there);
    c.self = std::prev(connections_.end());
    c.client.open_ = true;
    return c.client;
}

std::uint16_t simulated_tcp::free_port() noexcept {
    const auto taken = [this](std::uint16_t port) {
        return std::any_of(listeners_.begin(), listeners_.end(),
                           [port](const simulated_listener& l) { return l.local_.port() == port; });
    };
    do {
        next_port_ = next_port_ == last_free_port ? first_free_port
                                                  : static_cast<std::uint16_t>(next_port_ + 1);
    } while (taken(next_port_));
    return next_port_;
}

void simulated_tcp::carry(simulated_stream& to, segment s) noexcept {
    if (ending_) return;
    std::int64_t delay =
        choices.between(nanoseconds(options.min_delay), nanoseconds(options.max_delay));
    if (s.what != segment::reset) {
        const persistence& p = s.what <= segment::syn_ack ? when_connecting : when_connected;
        std::int64_t again = p.first_wait;
        int losses = 0;
        while (losses != p.losses && choices.chance(options.drop)) {
            delay += again;
            again = std::min(2 * again, longest_wait);
            ++losses;
        }
        if (losses == p.losses) {
            s.what = segment::lost;
        } else if (choices.chance(options.reset)) {
            s.what = segment::cut;
        }
    }
    deliver(to, s, now() + delay);
}

void simulated_tcp::deliver(simulated_stream& to, segment s, std::int64_t when) noexcept {
    s.arrives = when;
    const bool idle = to.path_.empty() && !to.arriving_;
    to.path_.push({&s, 1});
    if (idle) start_timer(to);
}

void simulated_tcp::start_timer(simulated_stream& path) noexcept {
    worker_.timers().start(path, path.path_.front().arrives);
}

// Who listens at that very address comes before who listens at every one; those who share a port
// get connections by chance.
simulated_listener* simulated_tcp::listener_at(const endpoint& at) noexcept {
    std::vector<simulated_listener*> found;
    for (const bool exact : {true, false}) {
        for (simulated_listener& l : listeners_) {
            const bool fits = exact ? same_host(l.local_, at) : covers(l.local_, at);
            if (l.local_.port() == at.port() && fits) found.push_back(&l);
        }
        if (!found.empty()) break;
    }
    if (found.empty()) return nullptr;
    if (found.size() == 1) return found.front();
    return found[choices.below(static_cast<std::uint32_t>(found.size()))];
}

void simulated_tcp::remove(simulated_listener& l) noexcept {
    for (auto i = connections_.begin(); i != connections_.end();) {
        simulated_connection& c = *i++;
        if (c.server.listener_ == &l) c.server.turn_away();
    }
    if (!ending_) listeners_.remove_if([&l](const simulated_listener& o) { return &o == &l; });
}

void simulated_tcp::reap(simulated_connection& c) noexcept {
    if (ending_ || c.client.open_ || c.server.open_ || !c.client.path_.empty() ||
        !c.server.path_.empty() || c.client.arriving_ || c.server.arriving_) {
        return;
    }
    connections_.erase(c.self);
}

}  // namespace sluice::io::detail
