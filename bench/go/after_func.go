package main

import (
	"context"
	"sync"
	"sync/atomic"
)

// afterFuncBatch has many functions run, each when its context is cancelled.
func afterFuncBatch(batch int, ran *atomic.Int64) {
	var functions sync.WaitGroup
	functions.Add(batch)
	cancels := make([]context.CancelFunc, batch)
	for i := range cancels {
		var ctx context.Context
		ctx, cancels[i] = context.WithCancel(context.Background())
		runAfter(ctx, func() {
			ran.Add(1)
			functions.Done()
		})
	}
	for _, cancel := range cancels {
		cancel()
	}
	functions.Wait()
}

func afterFunc(n int) bool {
	const batch = 1000
	var ran atomic.Int64
	for i := 0; i < n; i += batch {
		afterFuncBatch(batch, &ran)
	}
	return ran.Load() == int64(n)
}

func init() { register("after_func", 100_000, afterFunc) }
