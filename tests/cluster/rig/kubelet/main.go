// Command kubelet is of a kubelet what port-forwards need: the handler that kubelets and container
// runtimes have, from the same module, on TLS, for pods that are programs of this machine.
//
// The file named by -pods has a line for each port: NAMESPACE/POD PORT HOST:PORT. It is read for
// each connection, so that pods can come and go.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"
	"k8s.io/kubelet/pkg/cri/streaming/portforward"
)

const (
	dialDeadline   = 5 * time.Second
	idleDeadline   = 4 * time.Hour // as a kubelet has it
	streamDeadline = 30 * time.Second
)

// pods are what runs here, by the file that says so.
type pods string

// PortForward passes bytes on between a stream and a port, until either side has no more.
func (p pods) PortForward(_ context.Context, name string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	ports, err := p.ports(name)
	if err != nil {
		return err
	}
	address, listens := ports[port]
	if !listens {
		return fmt.Errorf("failed to connect to localhost:%d inside namespace: connection refused", port)
	}
	there, err := net.DialTimeout("tcp", address, dialDeadline)
	if err != nil {
		return fmt.Errorf("failed to connect to localhost:%d inside namespace: %w", port, err)
	}
	defer there.Close()
	ended := make(chan error, 2)
	go func() { _, err := io.Copy(there, stream); ended <- err }()
	go func() { _, err := io.Copy(stream, there); ended <- err }()
	return <-ended
}

// ports gives the ports of a pod; a pod that is not in the file has none, and nil.
func (p pods) ports(name string) (map[int32]string, error) {
	file, err := os.Open(string(p))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var found map[int32]string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0] != name {
			continue
		}
		if found == nil {
			found = map[int32]string{}
		}
		if len(fields) == 3 {
			port, err := strconv.ParseInt(fields[1], 10, 32)
			if err != nil {
				return nil, err
			}
			found[int32(port)] = fields[2]
		}
	}
	return found, nil
}

func (p pods) serve(response http.ResponseWriter, request *http.Request) {
	name := request.PathValue("namespace") + "/" + request.PathValue("pod")
	options, err := portforward.NewV4Options(request)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	if ports, err := p.ports(name); err != nil || ports == nil {
		http.Error(response, "pod does not exist", http.StatusNotFound)
		return
	}
	portforward.ServePortForward(response, request, p, name, "", options,
		idleDeadline, streamDeadline, portforward.SupportedProtocols)
}

func main() {
	listen := flag.String("listen", "", "where to listen: HOST:PORT")
	file := flag.String("pods", "", "the pods that run here")
	flag.Parse()
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		log.Fatal(err)
	}
	handler := http.NewServeMux()
	handler.HandleFunc("/portForward/{namespace}/{pod}", pods(*file).serve)
	server := &http.Server{
		Addr:              *listen,
		Handler:           handler,
		ReadHeaderTimeout: dialDeadline,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		// WebSockets are of HTTP/1.1.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	log.Fatal(server.ListenAndServeTLS("", ""))
}
