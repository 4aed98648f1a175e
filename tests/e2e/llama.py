"""Mean loss of a LlamaForCausalLM as transformers computes it, in fp64, on sequences of tokens.

usage: llama.py MODEL LENGTH < IDS
"""
import json
import sys

import numpy as np
from safetensors.numpy import load_file

folder, length = sys.argv[1], int(sys.argv[2])
config = json.load(open(f"{folder}/config.json"))
weight = {name: t.astype(np.float64) for name, t in load_file(f"{folder}/model.safetensors").items()}
heads, groups, K = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))


def norm(x, name):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight[name]


def rotate(x):  # [T, heads, K]: the two halves of a head
    angle = np.arange(len(x))[:, None] * config["rope_theta"] ** (-2 * np.arange(K // 2) / K)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = x[..., : K // 2], x[..., K // 2 :]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def attention(x, layer):
    q, k, v = ((x @ weight[f"{layer}{n}_proj.weight"].T).reshape(len(x), -1, K) for n in "qkv")
    k, v = (np.repeat(y, heads // groups, 1) for y in (rotate(k), v))
    score = np.einsum("nhk,mhk->hnm", rotate(q), k) / np.sqrt(K)
    score += np.triu(np.full((len(x), len(x)), -np.inf), 1)
    score = np.exp(score - score.max(-1, keepdims=True))
    score /= score.sum(-1, keepdims=True)
    return np.einsum("hnm,mhk->nhk", score, v).reshape(len(x), -1) @ weight[layer + "o_proj.weight"].T


def logits(ids):
    x = weight["model.embed_tokens.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        x = x + attention(norm(x, layer + "input_layernorm.weight"), layer + "self_attn.")
        y = norm(x, layer + "post_attention_layernorm.weight")
        gate, up, down = (weight[f"{layer}mlp.{n}_proj.weight"].T for n in ("gate", "up", "down"))
        x = x + (y @ gate / (1 + np.exp(-(y @ gate))) * (y @ up)) @ down
    return norm(x, "model.norm.weight") @ weight["lm_head.weight"].T


ids = np.array(sys.stdin.read().split(), int)
losses = []
for first in range(0, len(ids) - 1, length):
    piece = ids[first : first + length + 1]
    z = logits(piece[:-1])
    z -= z.max(-1, keepdims=True)
    losses.extend(np.log(np.exp(z).sum(-1)) - z[np.arange(len(z)), piece[1:]])
print(np.mean(losses))
