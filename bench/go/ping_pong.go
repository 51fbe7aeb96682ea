package main

import "context"

// pingPong sends a value forth and back over two unbuffered channels.
func pingPong(n int) bool {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
	}()
	correct := true
	for i := 0; i < n; i++ {
		ping <- i
		correct = <-pong == i && correct
	}
	close(ping)
	return correct
}

// pingPongPairs has eight pairs do so at once.
func pingPongPairs(n int) bool {
	const pairs = 8
	results := make(chan bool)
	for p := 0; p < pairs; p++ {
		go func() { results <- pingPong(n / pairs) }()
	}
	correct := true
	for p := 0; p < pairs; p++ {
		correct = <-results && correct
	}
	return correct
}

func sendUntilDone(ctx context.Context, out chan<- int, v int) bool {
	select {
	case out <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

func recvUntilDone(ctx context.Context, in <-chan int) (int, bool) {
	select {
	case v := <-in:
		return v, true
	case <-ctx.Done():
		return 0, false
	}
}

// pingPongSelect does the same, where every send and receive also heeds a context.
func pingPongSelect(n int) bool {
	ping, pong := make(chan int), make(chan int)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for {
			v, ok := recvUntilDone(ctx, ping)
			if !ok || !sendUntilDone(ctx, pong, v) {
				return
			}
		}
	}()
	correct := true
	for i := 0; i < n; i++ {
		sent := sendUntilDone(ctx, ping, i)
		v, ok := recvUntilDone(ctx, pong)
		correct = sent && ok && v == i && correct
	}
	return correct
}

func init() {
	register("ping_pong", 1_000_000, pingPong)
	register("ping_pong_pairs", 2_000_000, pingPongPairs)
	register("ping_pong_select", 500_000, pingPongSelect)
}
