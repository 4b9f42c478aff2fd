#!lua
-- A script that may write: the server refuses to begin it when it could not.
return 1
