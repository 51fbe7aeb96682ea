"""What the kv server is asked in tests: directed cases by name, and seeded random traffic.

A case is a list of (connection, bytes) steps, in order. After each step but those to a connection
that waits, the driver reads that connection's replies up to an ECHO of its own.
"""


def bulk(*words):
    """One request as an array of bulk strings."""
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(w), w) for w in words]
    return b"".join(parts)


def lines(text):
    """Inline commands, one a line."""
    return b"".join(line.strip().encode() + b"\r\n" for line in text.strip().splitlines())


WAIT = "wait"  # a step that ends without reading: its connection is about to block

ONE_CONNECTION = {
    "ping and echo": lines("""
        ping
        PiNg hello
        ping a b
        echo hello
        echo
        echo a b
        """),
    "arrays and inline commands": bulk("PING") + b"\r\n" + b"PING\r\n" + b"PING\n"
    + bulk("ECHO", "") + b"*0\r\n*-1\r\n" + b"   ping   \r\n" + b"echo 'a b' \r\n"
    + b'echo "x\\x41\\n\\t\\"z"\r\n'
    + b"echo 'it\\'s'\r\n" + b'echo "\\q\\xzz"\r\n' + b"echo \"\"\r\n"
    + bulk("ECHO", b"\x00\r\n\xff"),
    "set and get": lines("""
        get a
        set a 1
        get a
        SET a two
        GET a
        set
        set a
        get
        get a b
        rpush l x
        get l
        set l now-a-string
        get l
        """),
    "set with options": lines("""
        set a 1 nx
        set a 2 nx
        get a
        set a 3 xx
        set b 3 xx
        get b
        set a 4 ex 100
        ttl a
        set a 5 keepttl
        ttl a
        set a 6
        ttl a
        set a 7 px 100000
        ttl a
        set a b ex
        set a b ex 0
        set a b ex -1
        set a b px x
        set a b nx xx
        set a b xx nx
        set a b xx xx
        set a b foo
        set a b ex 1 px 1
        set a b ex 1 keepttl
        set a b keepttl ex 1
        set a b ex 9223372036854775807
        set a b ex 9223372036854775
        set a b px 9223372036854775807
        set a b ex 10 foo
        set a b ex x foo
        set a 8 get
        set none 1 get
        set a 9 nx get
        set a 9 xx get
        get a
        set a 1 exat 1
        get a
        set a 1 pxat 99999999999999
        get a
        rpush l x
        set l 1 get
        set l 1 nx
        set l 1 xx
        get l
        """),
    "set with options that come again": lines("""
        set a b ex 10 ex 20
        ttl a
        set a b px 10000 px 30000
        ttl a
        set a b ex 10 get ex 50
        ttl a
        set a b ex 10 px 20000
        set a b ex 10 exat 20
        set a b keepttl keepttl
        set a b ex x ex 10
        set a b ex 10 ex x
        set a b pxat 9223372036854775807
        expire a 100 nx
        """),
    "del, exists, dbsize, flushall": lines("""
        mset a 1 b 2 c 3
        exists a
        exists a a b nothing
        exists
        dbsize
        dbsize now
        del a nothing b a
        del
        dbsize
        flushall async
        dbsize
        set a 1
        flushall sync
        flushall later
        flushall sync sync
        get a
        """),
    "counters": lines("""
        incr n
        incr n
        incrby n 40
        decr n
        decrby n 1
        get n
        incrby n x
        incrby n
        incrby n 1.5
        incrby n 9223372036854775808
        incrby n 9223372036854775807
        decrby n -9223372036854775808
        decrby n -9223372036854775807
        decrby n -1
        set s abc
        incr s
        set s 007
        incr s
        set s -0
        incr s
        set s +1
        incr s
        set s ""
        incr s
        set s " 1"
        incr s
        set s -9223372036854775808
        decr s
        incr s
        set s 9223372036854775807
        incr s
        decr s
        rpush l x
        incr l
        set t 1 ex 100
        incr t
        ttl t
        """),
    "mset and mget": lines("""
        mset a 1 b 2 a 3
        mget a b c
        mset a
        mset a 1 b
        mget
        rpush l x
        mget a l b
        set a 1 ex 100
        mset a 2
        ttl a
        """),
    "expire and ttl": lines("""
        ttl a
        pttl a
        set a 1
        ttl a
        pttl a
        expire a 100
        ttl a
        expire a 200 nx
        ttl a
        expire a 200 xx
        ttl a
        expire a 100 gt
        ttl a
        expire a 300 gt
        ttl a
        expire a 400 lt
        ttl a
        expire a 100 lt
        ttl a
        set b 1
        expire b 100 gt
        expire b 100 xx
        expire b 100 xx gt
        expire b 100 lt
        ttl b
        expire nothing 100
        expire a
        expire a x
        expire a 10 foo
        expire a 10 nx xx
        expire a 10 nx gt
        expire a 10 gt lt
        expire a x foo
        expire a 9223372036854775807
        expire a -9223372036854775807
        expire a 9223372036854775
        ttl a
        expire a 0
        get a
        set a 1
        expire a -1
        exists a
        pexpire b 50000
        ttl b
        pexpire b 9223372036854775807
        """),
    "lists": lines("""
        rpush l a b c
        lpush l x y
        lrange l 0 -1
        lrange l 1 2
        lrange l -2 -1
        lrange l -100 100
        lrange l 3 1
        lrange l 5 10
        lrange l a 1
        lrange l 1 a
        lrange nothing 0 -1
        lrange l 0
        llen l
        llen nothing
        lpop l
        rpop l
        lpop l 0
        lpop l 2
        lpop l -1
        lpop l x
        lpop l 1 2
        rpop l 1 2
        rpop l 10
        exists l
        lpop l
        lpop l 0
        lpop l 2
        rpop l
        set s 1
        lpush s a
        rpush s a
        lpop s
        lpop s 1
        lrange s 0 -1
        llen s
        lpush l
        rpush
        lrange l 9223372036854775807 -9223372036854775808
        """),
    "blpop that need not wait": lines("""
        rpush b 1 2
        blpop a b 0
        blpop b 0.1
        exists b
        set s 1
        blpop s 0
        blpop a s 0
        blpop a
        blpop a x
        blpop a -1
        blpop a inf
        blpop a nan
        blpop a 1e400
        blpop a 0.01
        blpop a 0x1p-5
        blpop a a 0.01
        """),
    "keys": lines("""
        set only:one 1
        keys only:*
        keys only:?ne
        keys only:[a-o]ne
        keys only:[^a-n]ne
        keys nothing*
        keys
        keys a b
        """),
    "keys of an empty name": lines("""
        set "" x
        keys *
        keys ""
        keys **
        keys ?*
        """),
    "blanks that end no word": b"echo a\x0bb\r\n" + b"echo \x0b\x0ca\x0c\r\n"
    + b'echo "a"\x0b\r\n' + b"echo\x0bb\r\n",
    "errors are lines of text": bulk("SET", "a", 1) + b"".join(
        bulk("EXPIRE", "a", 1, word) for word in ("x\r\n", "x\ny\r\n\r\n", "\r\n", "", b"x\x00y"))
    + bulk("foo\r\n", "a\r\n") + bulk("CONFIG", "foo\r\n") + bulk("\r\n") + bulk(""),
    "unknown commands": lines("""
        foo
        foo bar baz
        "a\\r\\nb" "c\\r\\nd"
        """) + bulk("x" * 200, "y" * 100, "z" * 100, "w") + bulk(b"a\x00b", b"c\x00d"),
    "subcommands": lines("""
        config
        config foo
        config get
        config get nothing-such
        config get appendonl[xyz]
        CONFIG GET APPENDONLY
        client
        client setname
        client setname a b
        client getname
        client setname bob
        client getname
        client setname "a b"
        client setname ""
        client getname
        command foo
        """),
    "select": lines("""
        select 0
        select x
        select 99
        select -1
        select
        """),
    "quit": lines("""
        set a 1
        quit
        get a
        """),
    "quit with arguments": lines("quit now\nping"),
    "subscribed mode": lines("""
        subscribe one two
        subscribe one
        get x
        GET
        foo
        publish one x
        ping
        ping hello
        unsubscribe one
        unsubscribe three
        unsubscribe
        ping
        unsubscribe
        subscribe
        publish one
        publish one x
        """),
    "commands of commands in subscribed mode": lines("""
        subscribe a
        config get x
        config foo
        config get
        config
        client getname
        client getname a
        client foo
        client
        command
        command foo
        """),
    "quit while subscribed": lines("subscribe a\nquit"),
    "a web page's POST": b"POST / HTTP/1.1\r\n",
    "a web page's header": b"hOst: example.com\r\n",
    "broken: array length": b"*abc\r\nPING\r\n",
    "broken: no array length": b"*\r\n",
    "broken: array length with a plus": b"*+1\r\n$4\r\nPING\r\n",
    "broken: huge array": b"*2147483648\r\n",
    "broken: not a bulk": b"*1\r\n+a\r\n",
    "broken: empty line for a bulk": b"*1\r\n\r\n",
    "broken: integer for a bulk": b"*1\r\n:4\r\nPING\r\n",
    "broken: negative bulk": b"*1\r\n$-1\r\n",
    "broken: bulk length": b"*1\r\n$x\r\n",
    "broken: bulk length with zeros": b"*1\r\n$004\r\nPING\r\n",
    "broken: no bulk length": b"*1\r\n$\r\n",
    "broken: huge bulk": b"*1\r\n$536870913\r\n",
    "broken: quotes": b"echo \"abc\r\n",
    "broken: text behind a quote": b"echo \"a\"b\r\n",
    "broken after good ones": bulk("SET", "a", "1") + bulk("GET", "a") + b"*1\r\nx\r\n"
    + bulk("PING"),
    "broken: too big inline": b"a" * 200000,
    "broken: a NUL in a line": b"PING\x00\r\n" + b"a" * 200000,
    "broken: a NUL in a count": b"*1\x00\r\n" + b"1" * 200000,
    "broken: a NUL in a length": b"*1\r\n$4\x00\r\n" + b"1" * 200000,
    "broken: too big count": b"*" + b"1" * 200000,
    "broken: too big bulk count": b"*1\r\n$" + b"1" * 200000,
    "a negative array is skipped": b"*-10\r\nPING\r\n",
    "long value": bulk("SET", "big", "v" * 100000) + bulk("GET", "big"),
    "many arguments": bulk("DEL", *range(3000)) + bulk("RPUSH", "l", *range(3000))
    + bulk("LRANGE", "l", 0, -1),
}

SEVERAL_CONNECTIONS = {
    "a push wakes a blocked client": [
        ("a", bulk("BLPOP", "q", 0), WAIT),
        ("b", bulk("RPUSH", "q", "x")),
        ("a", b""),
        ("b", bulk("EXISTS", "q")),
    ],
    "blocked clients are served in turn": [
        ("a", bulk("BLPOP", "q", 0), WAIT),
        ("b", bulk("BLPOP", "other", "q", 0), WAIT),
        ("c", bulk("BLPOP", "q", 0), WAIT),
        ("d", bulk("RPUSH", "q", 1, 2)),
        ("a", b""),
        ("b", b""),
        ("d", bulk("RPUSH", "q", 3, 4)),
        ("c", b""),
        ("d", bulk("LRANGE", "q", 0, -1)),
    ],
    "a push is whole before it is shared": [
        ("a", bulk("BLPOP", "q", 0), WAIT),
        ("b", bulk("LPUSH", "q", 1, 2, 3)),
        ("a", b""),
        ("b", bulk("LRANGE", "q", 0, -1)),
    ],
    "the first key with an element answers": [
        ("b", bulk("RPUSH", "k2", "two") + bulk("RPUSH", "k3", "three")),
        ("a", bulk("BLPOP", "k1", "k2", "k3", 0)),
    ],
    "a blocked client leaves all its queues": [
        ("a", bulk("BLPOP", "k1", "k2", 0), WAIT),
        ("b", bulk("RPUSH", "k2", 1)),
        ("a", b""),
        ("b", bulk("RPUSH", "k1", 1) + bulk("LRANGE", "k1", 0, -1)),
    ],
    "a key named twice": [
        ("a", bulk("BLPOP", "q", "q", 0), WAIT),
        ("b", bulk("RPUSH", "q", 1, 2)),
        ("a", b""),
        ("b", bulk("LRANGE", "q", 0, -1)),
    ],
    "a string does not wake": [
        ("a", bulk("BLPOP", "q", 0), WAIT),
        ("b", bulk("SET", "q", 1) + bulk("DEL", "q") + bulk("RPUSH", "q", 2)),
        ("a", b""),
    ],
    "requests behind a blocked one wait": [
        ("a", bulk("SET", "x", 1) + bulk("BLPOP", "q", 0) + bulk("GET", "x")
         + bulk("BLPOP", "q", 0), WAIT),
        ("b", bulk("SET", "x", 2) + bulk("RPUSH", "q", 1)),
        ("b", bulk("RPUSH", "q", 2)),
        ("a", b""),
    ],
    "a blocked client's time runs out": [
        ("a", bulk("BLPOP", "q", "0.05") + bulk("PING")),
        ("b", bulk("RPUSH", "q", 1)),
        ("b", bulk("LLEN", "q")),
    ],
    "messages reach subscribers": [
        ("a", bulk("SUBSCRIBE", "news", "sport")),
        ("b", bulk("SUBSCRIBE", "news")),
        ("c", bulk("PUBLISH", "news", "hello") + bulk("PUBLISH", "sport", b"\x00\r\n")
         + bulk("PUBLISH", "none", "x")),
        ("a", b""),
        ("b", bulk("UNSUBSCRIBE", "news")),
        ("c", bulk("PUBLISH", "news", "again")),
        ("a", b""),
        ("b", bulk("GET", "x")),
    ],
}

COMMANDS = [
    ("get", "k"), ("set", "kv"), ("set", "kvo"), ("del", "kk"), ("exists", "kk"),
    ("incr", "k"), ("incrby", "kn"), ("decr", "k"), ("mset", "kvkv"), ("mget", "kkk"),
    ("expire", "kt"), ("ttl", "k"), ("lpush", "kvv"), ("rpush", "kv"), ("lpop", "k"),
    ("rpop", "kc"), ("lrange", "knn"), ("llen", "k"), ("dbsize", ""),
    ("lpop", "kc"), ("rpush", "kvvvv"), ("ping", ""), ("set", "k"), ("foo", "v"),
]


class Chance:
    """A generator that never changes between versions of Python."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % bound

    def choice(self, items):
        return items[self.below(len(items))]


def word(kind, chance):
    if kind == "k":
        return f"key:{chance.below(8)}"
    if kind == "n":
        return chance.choice(["0", "1", "-1", "2", "-3", "5", "100", "x", "-0"])
    if kind == "c":
        return chance.choice(["0", "1", "2", "3", "-1", "x"])
    if kind == "t":
        return chance.choice(["100", "1000", "-1", "0", "x"])
    if kind == "o":
        return chance.choice(["nx", "xx", "get", "keepttl", "ex", "zz"])
    values = ["", "1", "41", "-7", "text", "a b", "\r\n", "v" * 100, "9223372036854775807"]
    return chance.choice(values)


def random_traffic(seed, count):
    """Pipelined requests over a few keys, so that types, options and errors meet."""
    chance = Chance(seed)
    sent = []
    for _ in range(count):
        name, kinds = chance.choice(COMMANDS)
        sent.append(bulk(name, *(word(kind, chance) for kind in kinds)))
    return b"".join(sent)
