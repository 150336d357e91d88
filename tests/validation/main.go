// SPDX-License-Identifier: GPL-3.0-or-later

// Asks a kube-apiserver's own validation about issuers: a JSON list of texts on standard input, a JSON list of complaints on
// standard output, empty where there is none. Built with the module that the lab pins (-modfile).
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/kubernetes/pkg/kubeapiserver/options"
)

func complaint(issuer string) string {
	o := options.NewBuiltInAuthenticationOptions().WithServiceAccounts()
	o.ServiceAccounts.KeyFiles = []string{"unused"}
	o.ServiceAccounts.Issuers = []string{issuer}
	for _, err := range o.Validate() {
		return err.Error()
	}
	return ""
}

func main() {
	var issuers []string
	if err := json.NewDecoder(os.Stdin).Decode(&issuers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	complaints := make([]string, len(issuers))
	for i, issuer := range issuers {
		complaints[i] = complaint(issuer)
	}
	if err := json.NewEncoder(os.Stdout).Encode(complaints); err != nil {
		os.Exit(1)
	}
}
