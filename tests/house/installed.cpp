// Built by installed.py against an installed sluice, through the umbrella header.
#include <sluice/sluice.hpp>

sluice::task<int> seven() {
    co_return 7;
}

int main() {
    return sluice::run(seven) == 7 ? 0 : 1;
}
