package hub_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/hub"
)

// Whoever uploaded by a custodial key takes the identity over: the operator's key
// writes nothing more, and name, versions and handle are the user's.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.handle("ada", "ada")
	const id = "ada/toy"
	h.committed(id, header("first"), inline("README.md", card), inline("a.csv", "1,2\n"))
	before := h.newest("ada", "toy")
	turn := &manifests.Key{Common: common(t), Identity: foldtest.ID("ada"), Key: foldtest.ID("ada herself"), Op: manifests.KeyRotate}
	h.submit(manifests.New(turn), "ada", "ada herself")

	for what, a := range map[string]answer{
		"a commit":        h.commit(id, header("second"), inline("a.csv", "3,4\n")),
		"a new dataset":   h.do("POST", "/api/repos/create", map[string]any{"name": "other", "type": "dataset"}, bearer(adaToken)...),
		"a list of files": h.do("POST", "/api/datasets/"+id+"/preupload/main", map[string]any{"files": []map[string]any{{"path": "x", "size": 1, "sample": "AA=="}}}, bearer(adaToken)...),
	} {
		if a.status != 403 || !strings.Contains(a.String(), "custodial key") {
			t.Errorf("%s by the custodial key: %s", what, a)
		}
	}
	if d := h.newest("ada", "toy"); d.Statement != before.Statement {
		t.Errorf("the newest is %s@%s", d.Name, d.Version)
	}
	// Her own key signs the next version, under the same name.
	h.add(version{key: "ada herself", identity: "ada", name: "toy", version: "1.1.0", files: map[string]string{"a.csv": "5,6\n"}, supersedes: before.Statement.Cid})
	if d := h.newest("ada", "toy"); d.Version != "1.1.0" || d.Publisher != foldtest.ID("ada") {
		t.Errorf("the newest is %s@%s of %s", d.Name, d.Version, d.Publisher)
	}
	// Under the handle, the identity and any of its keys.
	for _, owner := range []string{"ada", owner("ada"), owner("ada herself")} {
		if got := h.files(owner+"/toy", "main"); got["a.csv"] != "5,6\n" {
			t.Errorf("below %s: %q", owner, got)
		}
	}
}

// TestCustodialKeyRotated: the operator rotates a custodial key; the token goes on
// writing for the same identity, by the new key.
func TestCustodialKeyRotated(t *testing.T) {
	t.Parallel()
	var key atomic.Value
	key.Store("ada")
	h := newHome(t, func(o *hub.Options) {
		o.Signer = func(string) (sign.Signer, error) { return foldtest.Key(key.Load().(string)), nil }
	})
	h.handle("ada", "ada")
	const id = "ada/toy"
	h.committed(id, header("first"), inline("README.md", card), inline("a.csv", "1,2\n"))
	turn := &manifests.Key{Common: common(t), Identity: foldtest.ID("ada"), Key: foldtest.ID("ada 2"), Op: manifests.KeyRotate}
	h.submit(manifests.New(turn), "ada", "ada 2")
	key.Store("ada 2")
	h.committed(id, header("second"), inline("a.csv", "3,4\n"))
	d := h.newest("ada", "toy")
	if d.Publisher != foldtest.ID("ada") || d.Contributors[0].ID != foldtest.ID("ada") || d.Contributors[0].Key != foldtest.ID("ada 2") || d.Seq != 2 {
		t.Errorf("the second version is %+v", d)
	}
	if got := h.files(id, "main")["a.csv"]; got != "3,4\n" {
		t.Errorf("it holds %q", got)
	}
	var who struct{ Name string }
	h.get("/api/whoami-v2", bearer(adaToken)...).into(t, &who)
	if who.Name != "ada" {
		t.Errorf("the token is %q's", who.Name)
	}
}
