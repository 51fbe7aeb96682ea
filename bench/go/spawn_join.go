package main

import (
	"sync"
	"sync/atomic"
)

func spawnJoin(n int) bool {
	var ran atomic.Int64
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func() {
			ran.Add(1)
			wg.Done()
		}()
	}
	wg.Wait()
	return ran.Load() == int64(n)
}

func init() { register("spawn_join", 1_000_000, spawnJoin) }
