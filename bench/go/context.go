package main

import (
	"context"
	"time"
)

// withCancel makes and cancels children of a context that can itself be cancelled.
func withCancel(n int) bool {
	parent, cancelParent := context.WithCancel(context.Background())
	defer cancelParent()
	for i := 0; i < n; i++ {
		_, cancel := context.WithCancel(parent)
		cancel()
	}
	return true
}

func withTimeout(n int) bool {
	parent, cancelParent := context.WithCancel(context.Background())
	defer cancelParent()
	for i := 0; i < n; i++ {
		_, cancel := context.WithTimeout(parent, time.Hour)
		cancel()
	}
	return true
}

func init() {
	register("with_cancel", 1_000_000, withCancel)
	register("with_timeout", 1_000_000, withTimeout)
}
