package main

import (
	"log"
	"sort"
	"sync"
	"time"
)

// sleepLateness measures by how much sleepers wake too late, the latest in a hundred left out.
func sleepLateness() (float64, string) {
	const sleepers, rounds, length = 1000, 20, 10 * time.Millisecond
	late := make([]time.Duration, sleepers*rounds)
	var wg sync.WaitGroup
	for s := 0; s < sleepers; s++ {
		of := late[s*rounds : (s+1)*rounds]
		wg.Add(1)
		go func() {
			for i := range of {
				start := time.Now()
				time.Sleep(length)
				of[i] = time.Since(start) - length
			}
			wg.Done()
		}()
	}
	wg.Wait()
	sort.Slice(late, func(i, j int) bool { return late[i] < late[j] })
	if late[0] < 0 {
		log.Fatal("sleep_lateness: woken too early")
	}
	return float64(late[len(late)*99/100].Nanoseconds()) / 1e3, "us"
}

func init() { workloads["sleep_lateness"] = sleepLateness }
