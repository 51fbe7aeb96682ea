// The main of every test program, under Catch2 2.13 and 3.x alike. Each test file is reachable by
// the tag [#stem] of its name, which is how tests/meson.build runs them one by one.

#define CATCH_CONFIG_RUNNER
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CATCH_CONFIG_NO_POSIX_SIGNALS  // the sanitizer's own report of a crash says more
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#endif
#endif

#include "catch.hpp"

#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#endif

int main(int argc, char** argv) {
    Catch::Session session;
    session.configData().filenamesAsTags = true;
#if !__has_include(<catch2/catch_session.hpp>)
    session.configData().warnings =
        Catch::WarnAbout::NoTests;  // Catch2 3 fails by itself on an empty selection
#endif
    return session.run(argc, argv);
}
