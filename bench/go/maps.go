package main

import (
	"sync"
	"sync/atomic"
)

const mapKeys = 1024

// shardedMap is the usual one: 64 maps, each under a read-write lock.
type shardedMap struct {
	shards [64]struct {
		mu sync.RWMutex
		m  map[uint64]uint64
		_  [32]byte
	}
}

func newShardedMap() *shardedMap {
	s := new(shardedMap)
	for i := range s.shards {
		s.shards[i].m = map[uint64]uint64{}
	}
	return s
}

func (s *shardedMap) store(key, value uint64) {
	shard := &s.shards[key*0x9e3779b97f4a7c15>>58]
	shard.mu.Lock()
	shard.m[key] = value
	shard.mu.Unlock()
}

func (s *shardedMap) load(key uint64) (uint64, bool) {
	shard := &s.shards[key*0x9e3779b97f4a7c15>>58]
	shard.mu.RLock()
	value, ok := shard.m[key]
	shard.mu.RUnlock()
	return value, ok
}

type syncMap struct{ m sync.Map }

func (s *syncMap) store(key, value uint64) { s.m.Store(key, value) }

func (s *syncMap) load(key uint64) (uint64, bool) {
	value, ok := s.m.Load(key)
	if !ok {
		return 0, false
	}
	return value.(uint64), true
}

type mapUser interface {
	store(key, value uint64)
	load(key uint64) (uint64, bool)
}

func useMap(m mapUser, user uint64, n int) bool {
	state := user*0x9e3779b97f4a7c15 + 1
	right, reads := 0, 0
	for i := 0; i < n; i++ {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		key := state % mapKeys
		if i%10 == 0 {
			m.store(key, key*key)
		} else {
			reads++
			if value, ok := m.load(key); ok && value == key*key {
				right++
			}
		}
	}
	return right == reads
}

// useMapBy8 has eight goroutines read and write, nine reads for each write.
func useMapBy8(m mapUser, n int) bool {
	const users = 8
	for key := uint64(0); key < mapKeys; key++ {
		m.store(key, key*key)
	}
	var right int32
	var wg sync.WaitGroup
	for user := uint64(0); user < users; user++ {
		user := user
		wg.Add(1)
		go func() {
			if useMap(m, user, n/users) {
				atomic.AddInt32(&right, 1)
			}
			wg.Done()
		}()
	}
	wg.Wait()
	return right == users
}

func init() {
	register("sharded_map", 4_000_000, func(n int) bool { return useMapBy8(newShardedMap(), n) })
	register("sync_map", 4_000_000, func(n int) bool { return useMapBy8(new(syncMap), n) })
}
