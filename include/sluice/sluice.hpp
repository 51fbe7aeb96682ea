// Everything that a program needs. Each header below may be included alone.
#pragma once

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <span>
#include <string>

#include <sluice/channels/after.hpp>
#include <sluice/channels/chan.hpp>
#include <sluice/channels/ticker.hpp>
#include <sluice/channels/timer.hpp>
#include <sluice/io/tcp.hpp>
#include <sluice/patterns/sharded_map.hpp>
#include <sluice/patterns/sync_map.hpp>
#include <sluice/runtime/blocking.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/signals.hpp>
#include <sluice/runtime/simulate.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/cond.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/once.hpp>
#include <sluice/runtime/sync/pool.hpp>
#include <sluice/runtime/sync/rw_mutex.hpp>
#include <sluice/runtime/sync/semaphore.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>
