//go:build !go1.21

package main

import "context"

// runAfter is what programs did before there was context.AfterFunc.
func runAfter(ctx context.Context, f func()) {
	go func() {
		<-ctx.Done()
		f()
	}()
}
