# Three services while you write them. In a Makefile: "include services.mk".
#
#   make -f services.mk up           starts those that do not run
#   make -f services.mk down         ends all of them, and all that they started
#   make -f services.mk api-again    starts one anew
#   make -f services.mk ps           shows their processes
#   make -f services.mk log          follows what they write

SERVICES = api web worker

api    = python3 -m http.server --bind 127.0.0.1 8001
web    = python3 -m http.server --bind 127.0.0.1 8002
worker = sh -c 'while sleep 5; do date; done'

.PHONY: up down ps log $(SERVICES)

up: $(SERVICES)

# In this directory, and still there after half a second, or make says why not.
# Status 1: it runs already.
$(SERVICES):
	@mkdir -p run
	@daemonize -m 022 -w 0.5 -c . -p run/$@.pid -o run/$@.log -- $($@) || test $$? -eq 1

%-again:
	@pidkill -t 2 run/$*.pid
	@$(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST)) $*

down:
	@pidkill -t 2 $(SERVICES:%=run/%.pid)

ps:
	@pgtree $(wildcard run/*.pid)

log:
	@tail -n 3 -F $(SERVICES:%=run/%.log)
