package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// certs writes everything that proves who is who in one cluster: the CA, the serving certificates of the API server and
// the kubelets, and a kubeconfig for each user.
func certs(args []string) error {
	flags := flag.NewFlagSet("certs", flag.ExitOnError)
	dir := flags.String("dir", "", "folder to write to")
	server := flags.String("server", "", "URL of the API server as nodes reach it")
	local := flags.String("local", "", "URL of the API server as this machine reaches it; written to admin-local.kubeconfig")
	sans := flags.String("san", "", "comma-separated addresses and names of the API server")
	users := flags.String("users", "", "comma-separated NAME=USER[+GROUP...]: a client certificate and NAME.kubeconfig each")
	nodes := flags.String("nodes", "", "comma-separated NAME=ADDRESS[+ADDRESS...]: a kubelet's two certificates each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" || *server == "" {
		return fmt.Errorf("-dir and -server are needed")
	}
	abs, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return err
	}
	p := &pki{dir: abs}
	ca := p.authority("ca", "lab-ca")
	front := p.authority("front-proxy-ca", "lab-front-proxy-ca")
	p.issue("apiserver", ca, identity{user: "kube-apiserver", sans: strings.Split(*sans, ","), serves: true})
	p.issue("apiserver-kubelet-client", ca, identity{user: "apiserver-kubelet", groups: []string{"system:masters"}})
	p.issue("front-proxy-client", front, identity{user: "front-proxy-client"})
	p.signingKey("sa")

	user := func(name string, id identity) {
		p.issue(name, ca, id)
		p.kubeconfig(name, *server, name)
	}
	user("admin", identity{user: "kubernetes-admin", groups: []string{"system:masters"}})
	user("controller-manager", identity{user: "system:kube-controller-manager"})
	user("scheduler", identity{user: "system:kube-scheduler"})
	user("kube-proxy", identity{user: "system:kube-proxy"})
	if *local != "" {
		p.kubeconfig("admin-local", *local, "admin")
	}
	for name, words := range pairs(*users) {
		user(name, identity{user: words[0], groups: words[1:]})
	}
	for name, addresses := range pairs(*nodes) {
		user("node-"+name, identity{user: "system:node:" + name, groups: []string{"system:nodes"}})
		p.issue("kubelet-"+name, ca, identity{user: name, sans: append([]string{name}, addresses...), serves: true})
	}
	return p.err
}

// pairs reads NAME=A+B,NAME=C.
func pairs(text string) map[string][]string {
	out := map[string][]string{}
	for _, entry := range strings.Split(text, ",") {
		if name, values, ok := strings.Cut(entry, "="); ok {
			out[name] = strings.Split(values, "+")
		}
	}
	return out
}
