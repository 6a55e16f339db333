#!/usr/bin/env bats
# What "make release-check" finds, in a small repository.

load helper

# A tree of one program that is ready for its release.
setup() {
    test_setup
    need git
    unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 VERSION=1.2.3
    mkdir -p tree/{bin,packaging,pgtree}
    cd tree || return
    cp "$BATS_TEST_DIRNAME/../../packaging/release-check" packaging
    : >pgtree/main.go
    printf '#!/bin/sh\necho "pgtree (procgroup) 1.2.3"\n' >bin/pgtree
    chmod +x bin/pgtree
    unset BIN
    printf '# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-11-21\n\n- all of it\n' >CHANGELOG.md
    printf '.Dd November 21, 2026\n.Dt PGTREE 1\n' >pgtree/pgtree.1
    git init -q -b main .
    commit
}

commit() {
    git add .
    GIT_AUTHOR_DATE="2026-11-21 12:00 +0000" GIT_COMMITTER_DATE="${1:-2026-11-21} 12:00 +0000" \
        git -c user.name=test -c user.email=test@localhost commit -q --allow-empty -m change
}

# finds WHAT: it says that, and nothing else.
finds() {
    run --separate-stderr packaging/release-check
    [[ $status -eq 1 && -z $output ]]
    [[ $stderr == "release-check: $1" ]] || fail "$stderr"
}

@test "release-check: all agree" {
    run --separate-stderr packaging/release-check
    [[ $status -eq 0 && -z $output && -z $stderr ]] || fail "$stderr"
    git tag v1.2.3
    packaging/release-check
}

@test "release-check: the changelog has another version, or none" {
    VERSION=1.2.4
    sed -i s/1.2.3/1.2.4/ bin/pgtree
    finds 'CHANGELOG.md: the newest version is "## [1.2.3] - 2026-11-21", expected "## [1.2.4] - YYYY-MM-DD"'
    VERSION=1.2.3
    sed -i s/1.2.4/1.2.3/ bin/pgtree
    sed -i 's/ - 2026-11-21//' CHANGELOG.md
    finds 'CHANGELOG.md: the newest version is "## [1.2.3]", expected "## [1.2.3] - YYYY-MM-DD"'
}

@test "release-check: there are unreleased changes" {
    sed -i 's/^## \[Unreleased\]/&\n\n- more/' CHANGELOG.md
    finds "CHANGELOG.md: there are changes above the newest version"
}

@test "release-check: a program says another version" {
    sed -i s/1.2.3/0.0.0/ bin/pgtree
    finds 'pgtree --version: says "pgtree (procgroup) 0.0.0"'
}

@test "release-check: a manual is missing, undated, older than its last change, or changed since" {
    echo more >>pgtree/pgtree.1
    finds "pgtree/pgtree.1: has changes that are not committed"
    commit 2026-11-23
    finds "pgtree/pgtree.1: says 2026-11-21, changed on 2026-11-23"
    sed -i 's/^.Dd .*/.Dd a fine day/' pgtree/pgtree.1
    commit
    finds 'pgtree/pgtree.1: ".Dd a fine day" is no date'
    sed -i 's/^.Dd .*/.Dd November 21, 2026/' pgtree/pgtree.1
    commit
    packaging/release-check
    : >pgtree/pgtree.1
    run packaging/release-check
    [[ $status -eq 1 && $output == *"pgtree: has no manual"* ]]
}

@test "release-check: the version is another commit's" {
    git tag v1.2.3
    commit
    finds "v1.2.3: is the tag of another commit already"
}
