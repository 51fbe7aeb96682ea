package main

import (
	"runtime"
	"sync"
)

// mpmc has goroutines send to as many others through one channel.
func mpmc(n, tasks, capacity int) bool {
	values, sums := make(chan int, capacity), make(chan int)
	var producers sync.WaitGroup
	for t := 0; t < tasks; t++ {
		producers.Add(1)
		go func() {
			for i := 0; i < n/tasks; i++ {
				values <- i
			}
			producers.Done()
		}()
		go func() {
			sum := 0
			for v := range values {
				sum += v
			}
			sums <- sum
		}()
	}
	producers.Wait()
	close(values)
	sum := 0
	for t := 0; t < tasks; t++ {
		sum += <-sums
	}
	share := n / tasks
	return sum == tasks*(share*(share-1)/2)
}

// suiteChannel is `channel` of the public runtime-benchmarks, see ../mpmc.cpp.
func suiteChannel(tasks int) bool { return mpmc(10_000_000, tasks, 65_536) }

// halfTheProcs gives how many producers, and consumers, the suite has.
func halfTheProcs() int {
	if half := runtime.GOMAXPROCS(0) / 2; half > 1 {
		return half
	}
	return 1
}

func init() {
	register("mpmc", 4_000_000, func(n int) bool { return mpmc(n, 4, 128) })
	register("mpmc_unbuffered", 1_000_000, func(n int) bool { return mpmc(n, 4, 0) })
	register("suite_channel", 1, func(int) bool { return suiteChannel(halfTheProcs()) })
	register("suite_channel_4", 1, func(int) bool { return suiteChannel(4) })
}
