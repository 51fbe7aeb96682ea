#include "options.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace kv {

namespace {

[[noreturn]] void usage(const char* program, std::string_view about) {
    std::printf(
        "%s: %.*s\n\n"
        "  --port N      listen on 127.0.0.1:N (default 6380; 0: any free port)\n"
        "  --workers N   threads that run the connections (default: one for each processor)\n"
        "  --help        this text\n",
        program, static_cast<int>(about.size()), about.data());
    std::exit(0);
}

[[noreturn]] void mistake(const char* program, const char* what, const char* which) {
    std::fprintf(stderr, "%s: %s %s (try --help)\n", program, what, which);
    std::exit(2);
}

unsigned number(const char* program, const char* option, const char* text, unsigned most) {
    if (!text) mistake(program, "missing number after", option);
    unsigned value = 0;
    const std::string_view digits = text;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value);
    if (error != std::errc{} || end != digits.end() || value > most) {
        mistake(program, "not a usable number:", text);
    }
    return value;
}

}  // namespace

program_options parse_options(int argc, char** argv, std::string_view about) {
    constexpr unsigned most_workers = 1024;
    program_options options;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view option = argv[i];
        const char* next = argv[i + 1];  // null behind the last
        if (option == "--help" || option == "-h") usage(argv[0], about);
        if (option == "--port") {
            options.port = static_cast<std::uint16_t>(number(argv[0], argv[i], next, 65535));
        } else if (option == "--workers") {
            options.workers = number(argv[0], argv[i], next, most_workers);
        } else {
            mistake(argv[0], "unknown option", argv[i]);
        }
    }
    return options;
}

}  // namespace kv
