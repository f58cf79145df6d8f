// Checks a ledger with what others wrote: Tessera's fsck over a tree's tiles, and the note verifier of Go's checksum
// database over its checkpoint.
//
//	stock_tools tree FOLDER|URL ORIGIN LOG_VKEY             every tile and entry leads to the signed root
//	stock_tools note FILE LOG_VKEY [WITNESS_VKEY]           the checkpoint is signed, and cosigned
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	cosigned "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// fsck can wait for ever for a tile that is not there.
const patience = 60 * time.Second

func leafHashes(bundle []byte) ([][]byte, error) {
	var entries api.EntryBundle
	if err := entries.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, entry := range entries.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return hashes, nil
}

// A folder of files, or a server of the same paths.
func fetcher(place string) (fsck.Fetcher, error) {
	if !strings.HasPrefix(place, "http://") {
		return &client.FileFetcher{Root: place}, nil
	}
	root, err := url.Parse(strings.TrimSuffix(place, "/") + "/")
	if err != nil {
		return nil, err
	}
	return client.NewHTTPFetcher(root, http.DefaultClient)
}

func checkTree(place, origin, vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	from, err := fetcher(place)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- fsck.New(origin, verifier, from, leafHashes, fsck.Opts{N: 4}).Check(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("fsck did not end")
	}
}

func checkNote(file, vkey string, witness []string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	verifiers := []note.Verifier{verifier}
	for _, key := range witness {
		verifier, err := cosigned.NewVerifierForCosignatureV1(key)
		if err != nil {
			return err
		}
		verifiers = append(verifiers, verifier)
	}
	opened, err := note.Open(text, note.VerifierList(verifiers...))
	if err != nil {
		return err
	}
	if len(opened.Sigs) != len(verifiers) {
		return fmt.Errorf("%d of %d signatures", len(opened.Sigs), len(verifiers))
	}
	return nil
}

func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == "tree":
		return checkTree(args[1], args[2], args[3])
	case len(args) >= 3 && args[0] == "note":
		return checkNote(args[1], args[2], args[3:])
	}
	return errors.New("usage: stock_tools tree FOLDER|URL ORIGIN LOG_VKEY | note FILE LOG_VKEY [WITNESS_VKEY]")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
