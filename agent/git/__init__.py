"""Git, as the agent uses it: one bare mirror of one repository, read by revision, and the marker that is pushed back.

`command` runs every git there is, with `environment` (what a child may see), `diagnosis` (what its complaint means)
and `url` (what of it may be shown). `repository` is a folder with git in it, `objects` reads it, `mirror` fetches it,
`state` moves the sync tag. One thread fetches and pushes; any thread reads, by commit id.
"""
