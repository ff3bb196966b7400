# The gateway carries berth.lua inside; the compiler does not see that dependency.
$(B)/obj/gateway/lua.o: gateway/berth.lua
