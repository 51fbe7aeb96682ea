package main

import "sync"

// broker is the usual one: a map of topics to channels under a read-write lock.
type broker struct {
	mu     sync.RWMutex
	topics map[string][]chan int
}

func (b *broker) subscribe(topic string, room int) <-chan int {
	ch := make(chan int, room)
	b.mu.Lock()
	b.topics[topic] = append(b.topics[topic], ch)
	b.mu.Unlock()
	return ch
}

func (b *broker) publish(topic string, message int) {
	b.mu.RLock()
	for _, ch := range b.topics[topic] {
		ch <- message
	}
	b.mu.RUnlock()
}

func (b *broker) close() {
	b.mu.Lock()
	for _, all := range b.topics {
		for _, ch := range all {
			close(ch)
		}
	}
	b.mu.Unlock()
}

func pubSub(n int) bool {
	const subscribers, room = 100, 16
	messages := n / subscribers
	news := broker{topics: map[string][]chan int{}}
	sums := make([]int, subscribers)
	var wg sync.WaitGroup
	for s := range sums {
		sum, ch := &sums[s], news.subscribe("news", room)
		wg.Add(1)
		go func() {
			for m := range ch {
				*sum += m
			}
			wg.Done()
		}()
	}
	for i := 0; i < messages; i++ {
		news.publish("news", i)
	}
	news.close()
	wg.Wait()
	for _, sum := range sums {
		if sum != messages*(messages-1)/2 {
			return false
		}
	}
	return true
}

func init() { register("pub_sub", 1_000_000, pubSub) }
