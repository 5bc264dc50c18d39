#!lua
-- Whether this server takes writes now. A script with this first line and no flags counts as one that writes, so Redis
-- refuses it on a replica, while its data is loading, and when its memory is full.
--
-- KEYS: any key, which finds the server in a cluster and is not touched. Returns `ok`.

return {'ok'}
