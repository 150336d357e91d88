// SPDX-License-Identifier: GPL-3.0-or-later

// web is a well-behaved workload: it answers on port 8080, is Ready on /ready, and leaves without losing a request.
//
// A preStop hook that GETs /leave?seconds=N makes it unready, has clients close their connections after the next answer, and
// returns after N seconds; SIGTERM then lets the requests under way end.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	var leaving atomic.Bool
	host, _ := os.Hostname()
	server := &http.Server{Addr: ":8080"}
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		if leaving.Load() { // not SetKeepAlivesEnabled, which would close idle connections under their clients at once
			answer.Header().Set("Connection", "close")
		}
		fmt.Fprintln(answer, host)
	})
	http.HandleFunc("/ready", func(answer http.ResponseWriter, _ *http.Request) {
		if leaving.Load() {
			http.Error(answer, "leaving", http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/leave", func(_ http.ResponseWriter, request *http.Request) {
		seconds, _ := strconv.ParseFloat(request.URL.Query().Get("seconds"), 64)
		leaving.Store(true)
		time.Sleep(time.Duration(seconds * float64(time.Second)))
	})
	ended := make(chan struct{})
	go func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
		<-signals
		server.Shutdown(context.Background())
		close(ended)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ended
}
