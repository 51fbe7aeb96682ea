package main

import (
	"fmt"
	"log"
	"os"
	"sync"
)

func residentBytes() int {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		log.Fatal(err)
	}
	var size, resident int
	fmt.Sscan(string(statm), &size, &resident)
	return resident * os.Getpagesize()
}

// parkedMemory measures the resident memory of a goroutine that waits on a channel.
func parkedMemory() (float64, string) {
	const n = 1_000_000
	gate := make(chan struct{})
	var ready, ended sync.WaitGroup
	before := residentBytes()
	ready.Add(n)
	ended.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			ready.Done()
			<-gate
			ended.Done()
		}()
	}
	ready.Wait()
	bytes := float64(residentBytes()-before) / n
	close(gate)
	ended.Wait()
	return bytes, "bytes"
}

func init() { workloads["parked_memory"] = parkedMemory }
