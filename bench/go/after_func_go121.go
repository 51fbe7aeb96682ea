//go:build go1.21

package main

import "context"

func runAfter(ctx context.Context, f func()) { context.AfterFunc(ctx, f) }
