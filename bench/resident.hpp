// The memory that the process has now.
#pragma once

#include <unistd.h>

#include <fstream>

/// Bytes of it that are resident.
inline double resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    double size = 0;
    double resident = 0;
    statm >> size >> resident;
    return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}
