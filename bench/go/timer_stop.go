package main

import "time"

func timerStop(n int) bool {
	stopped := 0
	for i := 0; i < n; i++ {
		if time.NewTimer(time.Hour).Stop() {
			stopped++
		}
	}
	return stopped == n
}

func init() { register("timer_stop", 1_000_000, timerStop) }
