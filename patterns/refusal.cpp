#include <sluice/patterns/refusal.hpp>

#include <string>

namespace sluice {

namespace {

class category final : public std::error_category {
public:
    const char* name() const noexcept override { return "sluice.refusal"; }

    std::string message(int code) const override {
        switch (static_cast<refusal>(code)) {
            case refusal::circuit_open:
                return "the circuit is open";
            case refusal::too_many_requests:
                return "too many requests while the circuit is half-open";
            case refusal::over_burst:
                return "more than the limiter's burst";
            case refusal::deadline_too_short:
                return "the context's deadline comes before the turn";
            case refusal::queue_full:
                return "the queue is full";
            case refusal::closed:
                return "closed";
        }
        return "unknown refusal";
    }
};

}  // namespace

const std::error_category& refusal_category() noexcept {
    static const category instance;
    return instance;
}

}  // namespace sluice
