#include <sluice/runtime/failure.hpp>

namespace sluice {

std::error_code failure::code() const noexcept {
    if (!exception_) return code_;
    try {
        std::rethrow_exception(exception_);
    } catch (const std::system_error& e) {
        return e.code();
    } catch (...) {
        return {};
    }
}

std::string failure::message() const {
    if (!exception_) return code_ ? code_.message() : std::string();
    try {
        std::rethrow_exception(exception_);
    } catch (const std::exception& e) {
        return e.what();
    } catch (...) {
        return "an exception that is no std::exception";
    }
}

void failure::raise() const {
    if (exception_) std::rethrow_exception(exception_);
    throw std::system_error(code_);
}

}  // namespace sluice
