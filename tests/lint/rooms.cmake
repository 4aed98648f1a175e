# Which folders may include which, lowest folder first: room(<folder> MAY <folders that it may
# include>). Each folder after MAY must be declared above the line, so that there are no cycles.
# `proto` and `trainer` alone stand for the files directly in these folders; tests/ may include all
# folders.

# proto/
room(proto/base)
room(proto/schema)
room(proto/options MAY proto/base proto/schema)
room(proto)
room(proto/cli MAY proto/base proto/options proto)
room(proto/ports MAY proto/base)
room(proto/tools)

# model/
room(model/base MAY proto/base)
room(model/spec MAY proto/base proto/schema model/base)
room(model/kernel MAY proto/base proto/schema model/base model/spec)
room(model/memory MAY proto/base model/base)
room(model/pass MAY proto/base proto/ports model/spec)
room(model/ops MAY proto/base proto/ports model/base model/spec model/kernel model/pass)
room(model/retention MAY proto/base proto/ports model/base model/spec model/kernel model/memory
     model/pass model/ops)
room(model/attention MAY proto/base proto/ports model/base model/spec model/kernel model/memory model/pass
     model/ops model/retention)
room(model/decode MAY proto/base proto/ports model/base model/spec model/kernel model/ops model/retention)
room(model/embed MAY proto/base model/base model/spec model/kernel model/memory model/pass
     model/ops)
room(model/ffn MAY proto/base model/base model/spec model/kernel model/memory model/ops)
room(model/stage MAY proto/base proto/ports model/base model/spec model/kernel model/memory
     model/pass model/ops model/retention model/attention model/decode model/embed model/ffn)

# comm/
room(comm/world MAY proto/base proto/cli)
room(comm/optimizer MAY proto/base comm/world)
room(comm/pipeline MAY proto/base comm/world)
room(comm/scan MAY proto/base proto/ports comm/world)
room(comm/rows MAY proto/base proto/ports comm/world)

# data/
room(data/file MAY proto/base)
room(data/shard MAY proto/base proto/schema data/file)
room(data/batch MAY proto/base data/file data/shard)
room(data/checkpoint MAY proto/base proto/schema proto/options data/file)
room(data/exchange MAY proto/base proto/schema data/file)
room(data/run MAY proto/base data/file)
room(data/state MAY proto/base proto/schema data/file)
room(data/tokenizer MAY proto/base proto/schema data/file)
room(data/tokens MAY proto/base data/file)
room(data/text MAY proto/base proto/schema data/file data/shard data/batch data/tokenizer data/tokens)

# trainer/
room(trainer/schedule MAY proto/base)
room(trainer/layout MAY proto/base proto/schema model/spec trainer/schedule)
room(trainer/optimizer MAY proto/base proto/ports model/spec model/stage comm/world comm/optimizer)
room(trainer/cost MAY proto/base model/base model/spec model/pass model/ops model/retention model/attention model/embed
     trainer/optimizer)
room(trainer/parallel MAY proto/base proto/schema model/spec model/stage comm/world comm/pipeline
     comm/rows comm/scan trainer/schedule trainer/layout trainer/optimizer)
room(trainer/config MAY proto/base proto/schema proto/options model/spec comm/world trainer/layout)
room(trainer/machine MAY proto/base proto/schema proto/cli model/base model/kernel comm/world
     comm/optimizer)
room(trainer/launch MAY proto/base proto/schema proto/options proto/cli model/base model/kernel
     comm/world trainer/config)
room(trainer/plan MAY proto/base proto/schema model/base model/spec model/kernel comm/world comm/scan
     comm/optimizer data/shard data/batch data/checkpoint trainer/layout trainer/optimizer
     trainer/parallel trainer/config trainer/machine)
room(trainer/run MAY proto/base proto/schema proto/options model/base model/spec model/kernel model/pass model/stage
     comm/world comm/optimizer comm/pipeline data/file data/batch data/checkpoint data/text trainer/layout
     trainer/optimizer trainer/parallel trainer/config trainer/launch trainer/plan)
room(trainer/checkpoint MAY proto/base proto/schema proto/options proto/cli model/spec model/kernel comm/world
     data/batch data/file data/checkpoint data/run data/tokenizer trainer/layout trainer/parallel trainer/run)
room(trainer/generate MAY proto/base model/retention model/stage data/file data/state
     data/tokenizer trainer/checkpoint)
room(trainer/bench MAY proto/base proto/schema proto/options proto/cli model/base model/spec
     model/kernel model/attention model/ops model/decode comm/world comm/scan data/file data/shard data/checkpoint
     trainer/optimizer trainer/cost trainer/parallel trainer/config trainer/machine trainer/launch trainer/run trainer/generate)
room(trainer/estimate MAY proto/base proto/options model/kernel model/memory comm/world data/batch
     trainer/schedule trainer/cost trainer/parallel trainer/launch trainer/plan trainer/run)
room(trainer/evaluate MAY proto/base model/base model/stage comm/world data/file data/batch
     data/tokenizer data/text trainer/parallel trainer/launch trainer/checkpoint)
room(trainer/profile MAY proto/base data/file trainer/schedule trainer/run)
room(trainer/tools MAY proto/base proto/options model/spec data/checkpoint data/exchange data/run)
room(trainer/exchange MAY proto/base proto/schema proto/options proto/cli model/spec data/file
     data/checkpoint data/exchange data/tokenizer trainer/tools)
room(trainer/train MAY proto/base proto/options model/kernel comm/world data/file data/exchange data/checkpoint
     data/run trainer/machine trainer/launch trainer/plan trainer/run trainer/checkpoint
     trainer/profile)
room(trainer/report MAY proto/base proto/options data/file data/run trainer/generate)
room(trainer MAY proto/base proto/options proto/cli model/base comm/world data/file data/batch data/tokenizer
     data/text
     trainer/config trainer/machine trainer/launch trainer/checkpoint trainer/generate trainer/bench
     trainer/estimate trainer/evaluate trainer/tools trainer/exchange trainer/train trainer/report)
