// Command etcd is etcd's server: upstream's own main package lies in a module that cannot be
// required (its go.mod replaces all others by folders), so this calls what that one calls.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
