#include <sluice/patterns/actor_group.hpp>
#include <sluice/sluice.hpp>
using namespace std::chrono_literals;

sluice::task<> produce(sluice::context ctx, sluice::send_chan<int> out) {
    for (int i = 1;; ++i) {
        const auto sent = co_await within(ctx, out.send(i));
        if (!sent) break;
        if (i == 3) ::raise(SIGTERM);  // stands for an operator
    }
    out.close();
}

sluice::task<> consume(sluice::recv_chan<int> in) {
    int sum = 0;
    while (auto value = co_await in.recv()) {
        if (*value <= 3) sum += *value;
    }
    std::printf("consumed all that was sent; the first three make %d\n", sum);
}

sluice::task<int> program() {
    const auto values = sluice::make_chan<int>();
    auto producing = sluice::with_cancel_cause(sluice::background());
    sluice::actor_group actors;
    actors.add([ctx = producing.first, values] { return produce(ctx, values); },
               std::move(producing.second));
    actors.add([values] { return consume(values); },
               [](const sluice::failure&) {});  // ends with the channel
    actors.add(sluice::signal_actor(sluice::background(), {SIGINT, SIGTERM}));
    const auto why = co_await actors.run();
    std::printf("ended by %s\n", why.error().message().c_str());
    co_return why.error().category() == sluice::signal_category() ? 0 : 1;
}

int main() {
    return sluice::run(program);
}

// Output:
// consumed all that was sent; the first three make 6
// ended by SIGTERM (Terminated)
