package main

import "sync"

func mutex(n int) bool {
	var mu sync.Mutex
	count := 0
	for i := 0; i < n; i++ {
		mu.Lock()
		count++
		mu.Unlock()
	}
	return count == n
}

// mutexContended has eight goroutines share one mutex.
func mutexContended(n int) bool {
	const tasks = 8
	var mu sync.Mutex
	var wg sync.WaitGroup
	count := 0
	for t := 0; t < tasks; t++ {
		wg.Add(1)
		go func() {
			for i := 0; i < n/tasks; i++ {
				mu.Lock()
				count++
				mu.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	return count == n
}

func init() {
	register("mutex", 10_000_000, mutex)
	register("mutex_contended", 4_000_000, mutexContended)
}
