package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// readBuffer has room for some thousand small datagrams, which the kernel counts with all that it keeps beside them.
const readBuffer = 4 << 20

// server answers over HTTP and UDP and knows who it is.
type server struct {
	pod, node string
	ready     atomic.Bool
}

// serve listens on all given addresses until told to stop; then it stops being ready, goes on answering for the drain
// time, lets running requests end and returns.
func serve(args []string, stop <-chan os.Signal) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	tcp := flags.String("http", ":8080", "comma-separated addresses for HTTP")
	udp := flags.String("udp", ":8080", "comma-separated addresses for the UDP echo")
	startReady := flags.Bool("start-ready", true, "whether /ready says yes from the start; PUT and DELETE /ready change it")
	drain := flags.Duration("drain", 0, "how long to go on answering after SIGTERM")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := &server{pod: os.Getenv("POD_NAME"), node: os.Getenv("NODE_NAME")}
	if s.pod == "" {
		s.pod, _ = os.Hostname() // Empty is as good an answer as any.
	}
	s.ready.Store(*startReady)
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", s.handleReady)
	mux.HandleFunc("/", s.handleWho)
	web := &http.Server{Handler: mux}
	failed := make(chan error, 1)
	for _, address := range split(*tcp) {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		fmt.Println("listening on tcp", listener.Addr())
		go func() { failed <- web.Serve(listener) }()
	}
	for _, address := range split(*udp) {
		conn, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		if err := enlargeBuffer(conn); err != nil {
			return err
		}
		fmt.Println("listening on udp", conn.LocalAddr())
		go func() { failed <- s.echo(conn) }()
	}
	select {
	case err := <-failed:
		return err
	case <-stop:
	}
	s.ready.Store(false)
	time.Sleep(*drain)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return web.Shutdown(ctx)
}

// enlargeBuffer makes room for seconds of datagrams. A busy machine may not run this server for a tenth of a second, and a
// datagram that found the queue full meanwhile would look like one that the network has lost. Without NET_ADMIN the kernel
// gives at most net.core.rmem_max.
func enlargeBuffer(conn net.PacketConn) error {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return nil
	}
	if err := udp.SetReadBuffer(readBuffer); err != nil {
		return err
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		// Refused in a pod, where the buffer stays as it is.
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, readBuffer)
	})
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func (s *server) handleReady(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPut:
		s.ready.Store(true)
	case http.MethodDelete:
		s.ready.Store(false)
	}
	if r.Method == http.MethodGet && !s.ready.Load() {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	}
}

// who is the answer to every request.
type who struct {
	Pod    string `json:"pod"`
	Node   string `json:"node"`
	Client string `json:"client"`
	Local  string `json:"local"`
}

func (s *server) handleWho(w http.ResponseWriter, r *http.Request) {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	w.Header().Set("Content-Type", "application/json")
	// The client may be gone already; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(who{Pod: s.pod, Node: s.node, Client: r.RemoteAddr, Local: fmt.Sprint(local)})
}

// echo sends every datagram back with a newline, the pod, the node and the client's address behind it.
func (s *server) echo(conn net.PacketConn) error {
	buffer := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		// A reply that cannot be sent is a lost packet, which whoever counts them will see.
		_, _ = conn.WriteTo(fmt.Appendf(buffer[:n:n], "\n%s %s %s", s.pod, s.node, from), from)
	}
}
