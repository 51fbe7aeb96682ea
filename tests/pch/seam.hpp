// Precompiled for the tests that see the seam through the explorer.
#include "catch.hpp"
