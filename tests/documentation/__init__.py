"""Tests of the template's own pages: README.md, docs/ and the READMEs of its folders.

| file | what it tests |
|---|---|
| markdown.py | reads pages: links, anchors, blocks of commands |
| test_answers.py | the questions of cookiecutter and their recording |
| test_commands.py | commands in blocks exist, and run where they can |
| test_links.py | links and anchors lead somewhere |
| test_readme.py | README.md and what it promises |
| test_recording.py | the picture of `inv demo` |
| test_site.py | the site builds without a warning |
| test_trouble.py | each proof of what-can-go-wrong.md is a test |
"""
