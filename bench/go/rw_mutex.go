package main

import (
	"sync"
	"sync/atomic"
)

// rwMutex has eight goroutines share a read-write lock: of a hundred locks one is for writing.
func rwMutex(n int) bool {
	const tasks, oneWriteIn = 8, 100
	var mu sync.RWMutex
	var counts [2]int // equal whenever nobody writes
	var right atomic.Int64
	var wg sync.WaitGroup
	for t := 0; t < tasks; t++ {
		wg.Add(1)
		go func() {
			whole := 0
			for i := 0; i < n/tasks; i++ {
				if i%oneWriteIn == 0 {
					mu.Lock()
					counts[0]++
					counts[1]++
					mu.Unlock()
				} else {
					mu.RLock()
					if counts[0] == counts[1] {
						whole++
					}
					mu.RUnlock()
				}
			}
			right.Add(int64(whole))
			wg.Done()
		}()
	}
	wg.Wait()
	writes := n / oneWriteIn
	return counts == [2]int{writes, writes} && right.Load() == int64(n-writes)
}

func init() { register("rw_mutex", 4_000_000, rwMutex) }
