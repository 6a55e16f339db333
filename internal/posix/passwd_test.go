package posix

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func file(t testing.TB, content string) string {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindUser(t *testing.T) {
	path := file(t, `root:x:0:0:root:/root:/bin/bash
:x:5:5::/:/bin/sh
short:x:6:6:/:/bin/sh
+::::::
minus:x:-1:7::/:/bin/sh
nobody:x:4294967295:7::/:/bin/sh
toor:x:0:0:second root:/root:/bin/sh
1000:x:77:78::/home/number:/bin/sh
app:x:1000:100:App,,,:/srv/app:/usr/sbin/nologin
`)
	app := User{"app", 1000, 100, "/srv/app", "/usr/sbin/nologin"}
	for word, want := range map[string]User{
		"app":  app,
		"root": {"root", 0, 0, "/root", "/bin/bash"},
		"0":    {"root", 0, 0, "/root", "/bin/bash"}, // the first of them
		"toor": {"toor", 0, 0, "/root", "/bin/sh"},
		"1000": {"1000", 77, 78, "/home/number", "/bin/sh"}, // a name comes first
		"4711": {"4711", 4711, -1, "/", "/bin/sh"},
		"5":    {"5", 5, -1, "/", "/bin/sh"},
	} {
		if u, err := findUser(path, word); err != nil || u != want {
			t.Errorf("%s: %+v, %v; want %+v", word, u, err, want)
		}
	}
	for _, word := range []string{"", "short", "+", "minus", "nobody", "-1", "4294967295", "4294967296", "ap", "app:x"} {
		if u, err := findUser(path, word); err == nil {
			t.Errorf("%q: %+v; want an error", word, u)
		}
	}
	if u, err := findUser("/nonexistent", "4711"); err != nil || u.UID != 4711 {
		t.Errorf("a number without passwd: %+v, %v", u, err)
	}
	if _, err := findUser("/nonexistent", "app"); !os.IsNotExist(err) {
		t.Errorf("a name without passwd: %v", err)
	}
	if _, err := findUser(file(t, strings.Repeat("x", 2<<20)), "app"); err == nil {
		t.Error("a line without an end is no error")
	}
}

func TestGroups(t *testing.T) {
	path := file(t, `root:x:0:
www:x:33:app,other
empty:x:34
bad:x:x:app
1234:x:35:app
again:x:33:app
apps:x:36:applet
`)
	for word, want := range map[string]int{"www": 33, "33": 33, "1234": 35, "4711": 4711, "empty": 34} {
		if gid, err := findGroup(path, word); err != nil || gid != want {
			t.Errorf("%s: %d, %v; want %d", word, gid, err, want)
		}
	}
	for _, word := range []string{"bad", "", "4294967295", "-1"} {
		if gid, err := findGroup(path, word); err == nil {
			t.Errorf("%q: %d; want an error", word, gid)
		}
	}
	if gids, err := groupsOf(path, "app", 100); err != nil || !slices.Equal(gids, []int{100, 33, 35}) {
		t.Errorf("groups of app: %v, %v", gids, err)
	}
	if gids, err := groupsOf("/nonexistent", "app", 100); err != nil || !slices.Equal(gids, []int{100}) {
		t.Errorf("without group(5): %v, %v", gids, err)
	}
}

func TestUserName(t *testing.T) {
	if name := UserName(0); name != "root" {
		t.Errorf("0: %s", name)
	}
	largest := ^uint32(1) // a negative number in an int of 32 bits
	if name := UserName(int(largest)); name != "4294967294" {
		t.Errorf("no entry: %s", name)
	}
}

func FuzzPasswd(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n", "root")
	f.Add("a:x:5:u,v\nb:x:5:u\nu:x:6:w\n", "u")
	f.Add("a:::::::\n\n:0:0", "0")
	f.Fuzz(func(t *testing.T, content, word string) {
		path := file(t, content)
		if u, err := findUser(path, word); err == nil && u.Name != word {
			if id, ok := parseID(word); !ok || id != u.UID {
				t.Errorf("%q found %+v", word, u)
			}
		}
		if gid, err := findGroup(path, word); err == nil {
			if id, ok := parseID(word); !(ok && id == gid) && !strings.Contains("\n"+content, "\n"+word+":") {
				t.Errorf("%q found group %d in %q", word, gid, content)
			}
		}
		gids, err := groupsOf(path, word, 7)
		if err == nil && (len(gids) == 0 || gids[0] != 7) {
			t.Errorf("%q in %q: groups %v", word, content, gids)
		}
		for i, gid := range gids {
			if uint32(gid) == math.MaxUint32 || slices.Contains(gids[:i], gid) {
				t.Errorf("%q in %q: groups %v", word, content, gids)
			}
		}
	})
}
