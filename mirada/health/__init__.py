"""What operators ask: is this process well, and can its models be had?"""
