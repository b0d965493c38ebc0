module tinderbox/pause

go 1.25.0
