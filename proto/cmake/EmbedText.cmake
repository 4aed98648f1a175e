# Writes a C source that defines text files as strings.
# cmake -DOUT=<file.c> -DHEADER=<header> -DFILES="name=path;name=path" -P EmbedText.cmake
set(source "#include \"${HEADER}\"\n")
foreach(entry ${FILES})
  string(REGEX REPLACE "=.*" "" name "${entry}")
  string(REGEX REPLACE "^[^=]*=" "" path "${entry}")
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" bytes "${bytes}")
  string(APPEND source "const char ${name}[] = {\n${bytes}0};\n")
endforeach()
file(WRITE ${OUT} "${source}")
