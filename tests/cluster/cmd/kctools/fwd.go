package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// fwd listens in the network namespace it is started in and dials from another one, so that a loopback address here
// reaches a server inside a namespace. Its first line of output is the address it listens on.
func fwd(args []string) error {
	flags := flag.NewFlagSet("fwd", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	netns := flags.String("netns", "", "path of the namespace to dial from")
	to := flags.String("to", "", "numeric IPv4 address and port to dial")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dialer, err := dialFrom(*netns, *to)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp4", *listen)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go forward(conn, dialer)
	}
}

// dialFrom starts the one thread that lives in the namespace and returns a function that has it dial. The address is
// numeric, so that net.Dial opens the socket on that very thread.
func dialFrom(netns, to string) (func() (net.Conn, error), error) {
	type result struct {
		conn net.Conn
		err  error
	}
	ns, err := os.Open(netns)
	if err != nil {
		return nil, err
	}
	requests, entered := make(chan chan result), make(chan error)
	go func() {
		runtime.LockOSThread()
		entered <- unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		for request := range requests {
			conn, err := net.Dial("tcp4", to)
			request <- result{conn, err}
		}
	}()
	if err := <-entered; err != nil {
		return nil, fmt.Errorf("entering %s: %w", netns, err)
	}
	return func() (net.Conn, error) {
		request := make(chan result)
		requests <- request
		r := <-request
		return r.conn, r.err
	}, nil
}

// forward copies both ways until either side ends; a server that cannot be reached looks like one that hangs up.
func forward(near net.Conn, dial func() (net.Conn, error)) {
	defer near.Close()
	far, err := dial()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer far.Close()
	done := make(chan struct{}, 2)
	pump := func(to, from net.Conn) {
		// An error only means that a side has gone, which is what is being waited for.
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	go pump(far, near)
	go pump(near, far)
	<-done
}
