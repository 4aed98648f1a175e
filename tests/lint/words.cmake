# Fails if a file name, or a type or function in a header, contains a word for which the field uses
# another one. Words are the parts of names between _ and . characters.
# cmake -DROOT=<source tree> -P words.cmake
cmake_minimum_required(VERSION 3.25)

# The comment after each word is the word to use.
set(refused
  alone        # single_rank
  band         # segment
  bring        # fetch
  care         # check
  carried carry # local_state, tbptt_streams
  chain        # scan_pipelined
  desk         # context
  errand       # progress callback
  fold         # ordered scan
  foretell     # estimate
  hand         # release, acquire
  instead      # override
  leaf leaves  # reduction block
  least        # min
  lend lender lending lent # workspace, release
  link         # channel
  look looks   # poll
  meet meeting meets # barrier, overlap
  most         # max
  number       # index
  ownership    # distributed optimizer
  part parts   # file, tile, layer group
  patience     # backoff
  place places # offset, index
  provider     # gemm backend
  relay        # pipeline_p2p
  ring         # wraparound
  room         # capacity, scratch
  rounded      # bf16 shadow
  share shares # shard
  since        # doc_position
  sink         # grad_accumulator
  stored       # sample_index
  tape         # activations
  tell tells told # report
  texts        # completions
  turn turns word # write_token, buffer index
)
# rows.h: a unit's rows are processed in parts, which are reduction blocks or all rows. placement.h:
# to place a buffer is to choose its offset.
set(allowed rn_rows_part rn_rows_parts rn_buffer_plan_place rn_place_buffers)

function(check_name name where)
  string(REGEX REPLACE "[_.]" ";" parts "${name}")
  foreach(part IN LISTS parts)
    if(part IN_LIST refused AND NOT name IN_LIST allowed)
      set(faults "${faults}  ${where}: \"${part}\" in ${name}\n" PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

set(faults "")
set(seen 0)
foreach(folder proto model comm data trainer tests jobs)
  foreach(ending c h cpp sh cmake proto)
    file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/${folder}/*.${ending})
    foreach(file ${files})
      math(EXPR seen "${seen} + 1")
      get_filename_component(name ${file} NAME)
      check_name(${name} ${file})
      if(ending STREQUAL h AND NOT folder STREQUAL tests)
        file(READ ${ROOT}/${file} text)
        string(REGEX MATCHALL "rn_[a-z0-9_]+" names "${text}")
        list(REMOVE_DUPLICATES names)
        foreach(name ${names})
          check_name(${name} ${file})
        endforeach()
      endif()
    endforeach()
  endforeach()
endforeach()
if(seen EQUAL 0)
  message(FATAL_ERROR "no source found below ${ROOT}")
endif()
if(faults)
  message(FATAL_ERROR "names with a word that has a usual one (see words.cmake):\n${faults}")
endif()
message(STATUS "${seen} files have no such word in their names")
