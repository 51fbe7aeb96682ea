package main

import "context"

// contextKey is a type of its own, as the keys of Go programs are.
type contextKey int

// contextValue looks up a value that lies ten contexts up.
func contextValue(n int) bool {
	const depth = 10
	ctx := context.Background()
	for key := contextKey(0); key < depth; key++ {
		ctx = context.WithValue(ctx, key, int(key)+1)
	}
	sum := 0
	for i := 0; i < n; i++ {
		sum += ctx.Value(contextKey(0)).(int)
	}
	return sum == n
}

func init() { register("context_value", 10_000_000, contextValue) }
