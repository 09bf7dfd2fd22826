package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of every certificate: longer than anybody keeps a lab.
const lifetime = 365 * 24 * time.Hour

// pki writes certificates and keys into one folder. The first error sticks and makes the later calls do nothing.
type pki struct {
	dir string
	err error
}

// authority is a certificate that signs others.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// identity is what a certificate says of its holder.
type identity struct {
	user   string
	groups []string
	sans   []string
	serves bool
}

// authority makes a self-signed CA.
func (p *pki) authority(name, commonName string) *authority {
	template := p.template(pkix.Name{CommonName: commonName})
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	return p.sign(name, template, nil)
}

// issue makes a client certificate, usable for serving too when the identity serves.
func (p *pki) issue(name string, ca *authority, id identity) {
	template := p.template(pkix.Name{CommonName: id.user, Organization: id.groups})
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if id.serves {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, san := range id.sans {
		if ip := net.ParseIP(san); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if san != "" {
			template.DNSNames = append(template.DNSNames, san)
		}
	}
	p.sign(name, template, ca)
}

func (p *pki) template(subject pkix.Name) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	p.keep(err)
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject,
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(lifetime),
		BasicConstraintsValid: true,
	}
}

// sign makes a key and the certificate for it; without an authority the certificate signs itself.
func (p *pki) sign(name string, template *x509.Certificate, ca *authority) *authority {
	key := p.key(name)
	if p.err != nil {
		return nil
	}
	parent, signer := template, crypto.Signer(key)
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	p.keep(err)
	p.write(name+".crt", "CERTIFICATE", der, 0o644)
	cert, err := x509.ParseCertificate(der)
	p.keep(err)
	return &authority{cert, key}
}

// signingKey makes the pair that signs ServiceAccount tokens.
func (p *pki) signingKey(name string) {
	key := p.key(name)
	if p.err != nil {
		return
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	p.keep(err)
	p.write(name+".pub", "PUBLIC KEY", der, 0o644)
}

func (p *pki) key(name string) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.keep(err)
	if p.err != nil {
		return nil
	}
	der, err := x509.MarshalECPrivateKey(key)
	p.keep(err)
	p.write(name+".key", "EC PRIVATE KEY", der, 0o600)
	return key
}

// kubeconfig names the certificate files rather than holding them, so that a reader sees which is which.
func (p *pki) kubeconfig(name, server, cert string) {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: lab
clusters:
- name: lab
  cluster: {server: %q, certificate-authority: %q}
users:
- name: user
  user: {client-certificate: %q, client-key: %q}
contexts:
- name: lab
  context: {cluster: lab, user: user}
`, server, filepath.Join(p.dir, "ca.crt"), filepath.Join(p.dir, cert+".crt"), filepath.Join(p.dir, cert+".key"))
	if p.err == nil {
		p.keep(os.WriteFile(filepath.Join(p.dir, name+".kubeconfig"), []byte(text), 0o600))
	}
}

func (p *pki) write(name, kind string, der []byte, mode os.FileMode) {
	if p.err == nil {
		p.keep(os.WriteFile(filepath.Join(p.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode))
	}
}

func (p *pki) keep(err error) {
	if p.err == nil {
		p.err = err
	}
}
