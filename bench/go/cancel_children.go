package main

import "context"

// cancelChildren cancels a context that has many children.
func cancelChildren(n int) bool {
	type child struct {
		ctx    context.Context
		cancel context.CancelFunc
	}
	parent, cancelParent := context.WithCancel(context.Background())
	children := make([]child, n)
	for i := range children {
		children[i].ctx, children[i].cancel = context.WithCancel(parent)
	}
	cancelParent()
	canceled := 0
	for _, c := range children {
		if c.ctx.Err() == context.Canceled {
			canceled++
		}
		c.cancel()
	}
	return canceled == n
}

func init() { register("cancel_children", 100_000, cancelChildren) }
